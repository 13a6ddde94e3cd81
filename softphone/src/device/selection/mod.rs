//! Which device is meant, and whether it is still the right one.
//!
//! `host` and `device_lookup` find it by the words of a person (`names`), `list` shows all. `device_selection` remembers
//! what was asked for, `default_device_watch` asks on a thread of its own where the default is, and `device_routing`
//! decides when to move. `worn` and `wear_query`: whether it is a headset.

pub(crate) mod default_device_watch;
pub(crate) mod device_lookup;
pub(crate) mod device_routing;
pub(crate) mod device_selection;
pub(crate) mod host;
pub mod list;
pub(crate) mod names;
pub(crate) mod wear_query;
pub(crate) mod worn;

pub(crate) use default_device_watch::DefaultDeviceWatch;
pub(crate) use device_lookup::{find_device, shown_name};
pub(crate) use device_routing::{DeviceRouting, Move, Pin};
pub(crate) use device_selection::DeviceSelection;
pub(crate) use host::AudioHost;
pub(crate) use wear_query::WearQuery;
pub use worn::Worn;
pub(crate) use worn::{SinkTraits, judge};
