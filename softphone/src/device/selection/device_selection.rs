//! Where a stream belongs: what was asked for, the host it was first found on, and what may take
//! its place. Pure; the supervisor's thread acts on it.

use super::default_device_watch::WatchRequest;
use super::device_routing::Pin;
use crate::device::stream::Stream;
use crate::device::stream::{DeviceRequest, Order};
use crate::device::{BufferRequest, DeviceError, Placement};

/// A device that is there but cannot be opened is given up for the default after this many
/// attempts, …
const PINNED_TRIES: u32 = 2;
/// … and an audio host for another one: some six seconds, in which its server may start again.
const HOST_TRIES: u32 = 6;

/// What was asked for, and where it was first found.
#[derive(Debug, Clone)]
pub(crate) struct DeviceSelection {
    /// The host that the person asked for.
    asked_host: Option<String>,
    /// The host that it was.
    host: String,
    /// The pinned device, and its name for people.
    pinned: Option<(Pin, String)>,
    buffer: BufferRequest,
}

impl DeviceSelection {
    /// Of a stream that was opened on this order.
    pub(crate) fn of(stream: &Stream, order: &Order) -> Self {
        let pinned = stream.placement == Placement::Pinned;
        Self {
            asked_host: order.host.clone(),
            buffer: order.buffer,
            host: stream.host.clone(),
            pinned: pinned.then(|| (stream.pin.clone(), stream.name.clone())),
        }
    }

    /// An order for another device, on the first host.
    pub(crate) fn order(&self, device: DeviceRequest) -> Order {
        Order {
            host: Some(self.host.clone()),
            device,
            buffer: self.buffer,
        }
    }

    /// The device that was asked for.
    pub(crate) fn wanted(&self) -> DeviceRequest {
        match &self.pinned {
            Some((pin, _)) => DeviceRequest::Pinned(pin.clone()),
            None => DeviceRequest::Default,
        }
    }

    /// The system's default, for who may want another.
    pub(crate) fn default(&self) -> DeviceRequest {
        match self.pinned {
            Some(_) => DeviceRequest::Fallback,
            None => DeviceRequest::Default,
        }
    }

    /// What to watch while the stream is on the device of identifier `on`.
    pub(crate) fn question(&self, on: &str) -> WatchRequest {
        WatchRequest {
            host: self.host.clone(),
            pin: self.pinned.as_ref().map(|(pin, _)| pin.clone()),
            on: on.to_owned(),
        }
    }

    /// The name of the pinned device.
    pub(crate) fn pinned(&self) -> Option<&str> {
        self.pinned.as_ref().map(|(_, name)| name.as_str())
    }

    /// What to open instead of the device that was asked for after so many `tries` to get it, the
    /// last of which ended with `error`; `None`: it is too early for that.
    pub(crate) fn instead(&self, tries: u32, error: Option<&DeviceError>) -> Option<Order> {
        let gone = matches!(error, Some(DeviceError::NoSuchDevice { .. }));
        let mut order = self.order(self.default());
        if tries >= HOST_TRIES {
            order.host.clone_from(&self.asked_host);
        } else if self.pinned.is_none() || (!gone && tries < PINNED_TRIES) {
            return None;
        }
        Some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Direction;

    fn selection(named: bool) -> DeviceSelection {
        let order = Order {
            host: None,
            device: DeviceRequest::Default,
            buffer: BufferRequest::default(),
        };
        let mut stream = Stream::for_test(48_000, 1);
        if named {
            stream.placement = Placement::Pinned;
        }
        DeviceSelection::of(&stream, &order)
    }

    fn gone() -> DeviceError {
        DeviceError::NoSuchDevice {
            direction: Direction::Input,
            wanted: "test".to_owned(),
            host: "test".to_owned(),
            hint: String::new(),
        }
    }

    #[test]
    fn a_pinned_device_that_is_gone_is_replaced_at_once_on_its_own_host() {
        let order = selection(true).instead(1, Some(&gone())).unwrap();
        assert_eq!(order.host.as_deref(), Some("test"));
        assert!(matches!(order.device, DeviceRequest::Fallback));
    }

    #[test]
    fn one_that_is_there_gets_a_second_chance() {
        assert!(selection(true).instead(1, None).is_none());
        assert!(selection(true).instead(2, None).is_some());
    }

    #[test]
    fn a_host_is_left_only_after_its_server_had_time_to_start_again() {
        for tries in 1..HOST_TRIES {
            assert!(selection(false).instead(tries, None).is_none());
            let order = selection(true).instead(tries, Some(&gone())).unwrap();
            assert_eq!(order.host.as_deref(), Some("test"));
        }
        for named in [false, true] {
            let order = selection(named).instead(HOST_TRIES, None).unwrap();
            assert_eq!(order.host, None, "any that works");
        }
    }
}
