//! How many legs the server carries at once, and who has a place among them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tonic::Status;

/// However few places there are: so many legs may be unread beside them.
const LEAST_UNREAD: usize = 64;

/// The places of one server.
#[derive(Debug, Default)]
pub(crate) struct Places {
    legs: AtomicUsize,
    /// Legs that were ended, and whose peers have not read that: the transport still keeps their
    /// last words, a few kilobytes each. They hold no place, but are not to be without number.
    unread: AtomicUsize,
}

/// One leg's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    unread: bool,
}

impl Place {
    /// A place among at most `most`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn take(places: &Arc<Places>, most: usize) -> Result<Self, Status> {
        let before = places.legs.fetch_add(1, Ordering::Relaxed);
        let place = Self {
            places: Arc::clone(places),
            unread: false,
        };
        if before >= most {
            return Err(Status::resource_exhausted(format!(
                "the server carries at most {most} legs at once (--max-legs); try again later"
            )));
        }
        let unread = places.unread.load(Ordering::Relaxed);
        if unread >= most.max(LEAST_UNREAD) {
            return Err(Status::resource_exhausted(format!(
                "{unread} legs were ended and their peers still keep their connections without reading that; try again later"
            )));
        }
        Ok(place)
    }

    /// The leg is over, but its peer reads nothing: somebody else may have the place.
    pub(crate) fn give_up_unread(&mut self) {
        if !std::mem::replace(&mut self.unread, true) {
            self.places.unread.fetch_add(1, Ordering::Relaxed);
            self.places.legs.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let count = match self.unread {
            true => &self.places.unread,
            false => &self.places.legs,
        };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_when_its_leg_is_over_or_was_not_read() {
        let places = Arc::default();
        let first = Place::take(&places, 2).unwrap();
        let second = Place::take(&places, 2).unwrap();
        let error = Place::take(&places, 2).unwrap_err();
        assert!(error.message().contains("at most 2 legs"), "{error}");
        drop(second);
        let mut unread: Vec<_> = (0..LEAST_UNREAD)
            .map(|_| {
                let mut place = Place::take(&places, 2).unwrap();
                place.give_up_unread();
                place.give_up_unread();
                place
            })
            .collect();
        let error = Place::take(&places, 2).unwrap_err();
        assert!(error.message().contains("without reading"), "{error}");
        unread.pop();
        let second = Place::take(&places, 2).unwrap();
        assert!(Place::take(&places, 2).is_err());
        drop((first, second, unread));
        assert_eq!(places.legs.load(Ordering::Relaxed), 0);
        assert_eq!(places.unread.load(Ordering::Relaxed), 0);
    }
}
