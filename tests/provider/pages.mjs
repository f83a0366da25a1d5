// The few pages that a person sees at the test provider. No script, no font, no address but its own.

const escape = (text) =>
  String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

export const page = (title, body) => `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>${escape(title)}</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <style>
    body { font: 16px/1.5 "DejaVu Sans", sans-serif; background: #f4f5f7; color: #1d2733; margin: 0 }
    main { max-width: 22rem; margin: 4rem auto; padding: 1.5rem 2rem; background: #fff; border-radius: 8px;
           box-shadow: 0 1px 4px #0003 }
    h1 { font-size: 1.25rem }
    input { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: .5rem; margin: .25rem 0 1rem }
    button { font: inherit; padding: .5rem 1rem; margin-right: .5rem; border: 1px solid #2457a6; border-radius: 4px;
             background: #2457a6; color: #fff; cursor: pointer }
    button.other { background: #fff; color: #2457a6 }
  </style>
</head>
<body><main><h1>${escape(title)}</h1>
${body}
</main></body>
</html>`;

export const loginPage = (hint) => page('Sign in to the test provider', `
<form method="post">
  <label>Username <input name="username" value="${escape(hint)}" required></label>
  <button name="answer" value="login">Sign in</button>
</form>`);

export const selectPage = (account) => page('Choose an account', `
<form method="post"><button name="answer" value="keep">Stay ${escape(account)}</button></form>
<form method="post">
  <label>Username <input name="username" required></label>
  <button class="other" name="answer" value="login">Use another account</button>
</form>`);

export const consentPage = (client, scopes) => page(`Allow ${client}?`, `
<p>It asks for: ${scopes.map(escape).join(', ')}.</p>
<form method="post">
  <button name="answer" value="allow">Allow</button>
  <button class="other" name="answer" value="deny">Deny</button>
</form>`);

export const logoutPage = (form) => page('Sign out?', `
${form}
<button form="op.logoutForm" name="logout" value="yes">Yes, sign me out</button>
<button class="other" form="op.logoutForm">No, stay signed in</button>`);

export const goodbyePage = () => page('Signed out', '<p>You are signed out of the test provider.</p>');

export const errorPage = (out) => page('Something is wrong', Object.entries(out)
  .map(([name, value]) => `<p><b>${escape(name)}</b>: ${escape(value)}</p>`).join('\n'));
