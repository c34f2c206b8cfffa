//! The linker arguments of the tests, which run Python inside themselves.

fn main() {
    // None in a build of the extension module, which finds Python in the process that loads it.
    pyo3_build_config::add_libpython_rpath_link_args();
}
