//! The contract of the two services: the types generated from `callcenter.proto` and `fin.proto`,
//! and the few rules about their texts that both ends must read alike.
//!
//! The meaning, units and ranges of every field stand in the `.proto` files.
#![deny(clippy::print_stdout, clippy::print_stderr)]
// Peers' bytes arrive here: what they say must not panic.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod server_address;
mod symbol;
pub mod text;
pub mod text_file;

pub use server_address::{BadAddress, ServerAddress};
pub use symbol::{MAX_SYMBOL_CHARS, Symbol, SymbolError, SymbolKind, price_decimals};

/// `callcenter.CallCenter`: one method, `LiveCall`.
#[allow(missing_docs, clippy::all)]
pub mod callcenter {
    tonic::include_proto!("callcenter");
}

/// `StockTicker` (the file has no package): one method, `SubscribeToStockUpdates`.
#[allow(missing_docs, clippy::all)]
pub mod fin {
    tonic::include_proto!("_");
}

/// Both files as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
