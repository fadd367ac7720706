"""Functions for objects of several classes."""


class ByClass(dict):
    """Functions by the classes that they are for; a class without one has that of its base."""

    def enters(self, *kinds):
        """Function decorator: it is for these classes."""

        def register(function):
            self.update(dict.fromkeys(kinds, function))
            return function

        return register

    def of(self, value):
        """The function for an object, that for the most special of its classes; or None."""
        return next((self[kind] for kind in type(value).__mro__ if kind in self), None)
