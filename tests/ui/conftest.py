"""What belongs to the tests in a browser, and what is drawn on demand only."""

import os

collect_ignore = [] if os.environ.get("NATIVEAUTH_SCREENSHOT") else ["test_pictures.py"]
