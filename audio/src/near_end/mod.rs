//! What is done to a microphone: echo, noise, level.
//!
//! Read `near_end` first. `voice_cleaner` shares one split into bands among high-pass, canceller and noise suppression;
//! the cancellers are `aec3` and `echo_canceller`, which is ours. `near_end_reference` brings what the speaker plays onto
//! the microphone's clock. `coupling` and `echo_path` measure whether the microphone hears the speaker; `loop_guard` ends a
//! loop. Runs on the engine thread.

mod aec3;
mod coupling;
mod echo_canceller;
pub mod echo_path;
mod loop_guard;
mod near_end;
mod near_end_reference;
mod phase_only;
mod voice_cleaner;

pub use coupling::{Coupling, CouplingMonitor};
pub use echo_path::{EchoPath, Measurement, Probe};
pub use loop_guard::LoopGuard;
pub use near_end::{EchoCanceller, NearEnd, NearEndOptions, NearEndStats};
pub use near_end_reference::RenderReference;
