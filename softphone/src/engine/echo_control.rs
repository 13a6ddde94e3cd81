//! Whether there is an echo to cancel: measured, not guessed from names.
//!
//! Read in this order: [`decision`] is the rule, and pure; [`connect_tone`] is the short sound that
//! begins a call on devices that are not known yet, and what is looked for afterwards;
//! [`coupling_watch`] listens to the call itself; [`memory`] keeps what was found for the next
//! call; [`control`] puts them in order. All but the memory's file runs on the engine thread, and
//! the search for the tone on one of its own, for it takes some 50 ms.

pub mod connect_tone;
pub mod control;
pub mod coupling_watch;
pub mod decision;
pub mod memory;

pub use control::EchoControl;
pub use decision::EchoStatus;
pub use memory::EchoMemory;
