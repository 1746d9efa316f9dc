"""Python imports this first, where its folder is on the path: what follows is marked."""

import marks

marks.install()
