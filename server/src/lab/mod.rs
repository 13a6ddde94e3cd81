//! What the lab's original server did, for its tests (`--lab`): a stamp behind each chunk, five quotes for each
//! request.

mod quotes;
mod stamp;

pub(crate) use quotes::LabQuotes;
pub(crate) use stamp::stamped;
