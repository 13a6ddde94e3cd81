//! The contract of the two services, generated from `callcenter.proto` and `fin.proto`.
//!
//! Nothing is written by hand here: the meaning, units and ranges of every field stand in the
//! `.proto` files.

#![allow(missing_docs, unreachable_pub, clippy::all)]

/// `callcenter.CallCenter`: one method, `LiveCall`.
pub mod callcenter {
    tonic::include_proto!("callcenter");
}

/// `StockTicker` (the file has no package): one method, `SubscribeToStockUpdates`.
pub mod fin {
    tonic::include_proto!("_");
}

/// Both files as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
