//! Compiles the one C function that talks to memcheck.

fn main() {
    println!("cargo:rerun-if-changed=src/mark.c");
    cc::Build::new().file("src/mark.c").compile("mark");
}
