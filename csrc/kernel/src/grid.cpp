namespace sidereal {}
