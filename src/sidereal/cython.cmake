# Cython modules: each NAME.pyx here becomes sidereal.PACKAGE.NAME.
function(sidereal_cython package name)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}.pyx)
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
  file(GLOB declarations CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.pxd)
  add_custom_command(
    OUTPUT ${generated}
    COMMAND Python::Interpreter -m cython -3 ${source} -o ${generated}
    DEPENDS ${source} ${declarations}
    VERBATIM)
  Python_add_library(${name} MODULE WITH_SOABI ${generated})
  install(TARGETS ${name} DESTINATION sidereal/${package})
endfunction()
