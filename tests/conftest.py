"""The fixtures every suite may ask for, by subject."""

pytest_plugins = ["tests.fix_netns", "tests.fix_stack"]
