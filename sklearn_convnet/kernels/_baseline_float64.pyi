from ._variant import *
