//! A synthetic call with others: who says which tone, and which one is listened for.
//!
//! The same command twice makes two parties that hear each other: a party's tone goes by its place in the call.

use crate::{
    device::simulated::{virtual_microphone::ToneControl, virtual_speaker::Ear},
    session::parties::Parties,
};

/// So much higher is the tone of each place than that of the one before it, as a part of the first: no tone is
/// an overtone of another.
const STEP: f32 = 0.37;

/// Tone and ear of one party.
pub(super) struct TonePair {
    first_hz: f32,
    tone: ToneControl,
    ear: Ear,
}

impl TonePair {
    /// The tone of the first place is this one.
    pub(super) fn new(first_hz: f32, tone: ToneControl, ear: Ear) -> Self {
        Self {
            first_hz,
            tone,
            ear,
        }
    }

    /// Says the tone of our place, and listens for that of the first other one while somebody is there.
    pub(super) fn follow(&self, parties: &Parties) {
        let Some(place) = parties.own_place() else {
            return;
        };
        let hz = |place: usize| self.first_hz * (1.0 + STEP * place as f32);
        self.tone.set_hz(hz(place));
        match parties.others().is_empty() {
            true => self.ear.pause(),
            false => self.ear.listen_for(hz(usize::from(place == 0))),
        }
    }
}
