"""
Runs in: the demo and the tests. A provider for trying out (django-allauth), and a JupyterLab that uses it.

``provider`` is a process of its own, ``pages`` is what it serves, ``lab`` starts both, ``run`` is for people, and
``check`` drives the whole of it in a headless browser. Nothing here is imported by the rest of the package.
"""
