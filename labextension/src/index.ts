/**
 * The plugin: puts the pieces together, and nothing else.
 */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ServerConnection } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Api } from './api';
import { addCommands, INSERT_CODE, SIGN_IN } from './commands';
import { keepFresh } from './live';
import { Model } from './model';
import { notify } from './notify';
import { PANEL, SignInPanel } from './panel';
import { StatusItem } from './statusbar';
import { openTab } from './tab';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-nativeauth:plugin',
  description: 'Sign in to the services whose APIs your notebooks call, see who is, and sign out.',
  autoStart: true,
  // Notebook has neither a layout to restore nor a status bar.
  optional: [
    ICommandPalette,
    ILayoutRestorer,
    INotebookTracker,
    ISettingRegistry,
    IStatusBar,
    ITranslator,
  ],
  activate,
};

function activate(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null,
  notebooks: INotebookTracker | null,
  registry: ISettingRegistry | null,
  statusBar: IStatusBar | null,
  translator: ITranslator | null,
): void {
  const { commands, serviceManager, shell } = app;
  const { serverSettings } = serviceManager;
  const trans = (translator ?? nullTranslator).load('jupyter_nativeauth');
  const api = new Api((path, init) => {
    const url = new URL(path, serverSettings.baseUrl);
    return ServerConnection.makeRequest(url.href, init, serverSettings);
  });
  const model = new Model({ api, openTab });

  const insertCode = (profile: string) => void commands.execute(INSERT_CODE, { profile });
  const panel = new SignInPanel({
    model,
    trans,
    insertCode: () => (notebooks?.currentWidget ? insertCode : null),
  });
  shell.add(panel, 'right', { rank: 900 });
  restorer?.add(panel, PANEL);
  notebooks?.currentChanged.connect(() => {
    panel.update();
    commands.notifyCommandChanged(INSERT_CODE);
  });

  const show = () => {
    shell.activateById(PANEL);
    // The keyboard goes on there; a little later, for a palette that closes gives the focus back first.
    requestAnimationFrame(() => panel.node.focus());
  };
  addCommands({ app, model, trans, palette, notebooks, show });
  notify(model, trans, (profile) => void commands.execute(SIGN_IN, { profile }));

  let isInStatusBar = true;
  statusBar?.registerStatusItem(plugin.id, {
    item: new StatusItem({ model, trans, onClick: show }),
    align: 'right',
    rank: 900,
    isActive: () => isInStatusBar && model.cards.length > 0,
    activeStateChanged: model.changed,
  });

  const readSettings = (settings: ISettingRegistry.ISettings) => {
    isInStatusBar = settings.composite.statusBar === true;
    model.notifyBefore = Number(settings.composite.notifyBeforeExpiry) * 60;
    model.defaultProfile = String(settings.composite.defaultProfile);
  };
  // Not before Lab can be used: nothing here is worth waiting for.
  void app.restored.then(async () => {
    try {
      const settings = await registry?.load(plugin.id);
      if (settings) {
        readSettings(settings);
        settings.changed.connect(readSettings);
      }
    } catch (error) {
      console.error('The settings of jupyter-nativeauth could not be read.', error);
    }
    keepFresh(model, serviceManager, () => panel.isVisible);
    panel.shown.connect(() => void model.refresh());
  });
}

export default plugin;
