#include <pybind11/pybind11.h>

PYBIND11_MODULE(_kernel, m) { m.doc() = "The compiled kernel of Sidereal."; }
