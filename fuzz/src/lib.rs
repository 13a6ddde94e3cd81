//! Fuzz targets: one for each boundary where bytes of somebody else arrive.
//!
//! A target takes any bytes, gives them to the real code and panics where a promise is broken. It
//! returns a few words on what became of them, by which the [`runner`] tells inputs that lead
//! somewhere new. `script/fuzz` runs them on stable Rust.
//!
//! A fuzzer that is guided by coverage calls the same functions. With nightly Rust and `cargo-fuzz`, the
//! whole of a harness for one target is
//!
//! ```text
//! #![no_main]
//! libfuzzer_sys::fuzz_target!(|data: &[u8]| {
//!     let target = fuzz::TARGETS.iter().find(|target| target.name == "leg");
//!     (target.unwrap().run)(data);
//! });
//! ```
//!
//! Reading order: [`targets`], [`runner`], [`mutation`].

pub mod artifacts;
pub mod corpus;
pub mod memory;
pub mod mutation;
pub mod runner;
mod service;
pub mod targets;

pub use targets::{TARGETS, Target};
