//! Asks a sound card's own mixer, through ALSA, for mutes and volumes. May hang where the card is
//! another audio system: only on threads that may be abandoned.

use alsa::mixer::{self, Selem, SelemChannelId};

use super::mixer::{Control, Mixer, Tool};

/// What plays and records through one of these is behind it; in this order.
const OUTPUTS: [&str; 5] = ["Master", "PCM", "Speaker", "Headphone", "Headset"];
const INPUTS: [&str; 4] = ["Capture", "Mic", "Headset", "Internal Mic"];

/// How the mixer of the card behind this ALSA device stands; `None` if it has none.
pub(super) fn read(device: Option<&str>) -> Option<Mixer> {
    // The buffer that takes alsa-lib's chatter lives as long as the thread.
    let _quiet = alsa::Output::local_error_handler();
    let card = card_of(device.unwrap_or("default"));
    let mixer = mixer::Mixer::new(&card, false).ok()?;
    let elements: Vec<_> = mixer.iter().filter_map(Selem::new).collect();
    let find = |names: &[&'static str], fits: fn(&Selem) -> bool| {
        names.iter().find_map(|&name| {
            let has_name = |element: &&Selem| element.get_id().get_name().ok() == Some(name);
            elements
                .iter()
                .find(|element| fits(element) && has_name(element))
                .map(|element| (name, element))
        })
    };
    let output = find(&OUTPUTS, |element| {
        element.has_playback_volume() || element.has_playback_switch()
    });
    let input = find(&INPUTS, |element| {
        element.has_capture_volume() || element.has_capture_switch()
    });
    Some(Mixer {
        tool: Tool::Amixer(card),
        outputs: output.map(output_control).into_iter().collect(),
        inputs: input.map(input_control).into_iter().collect(),
    })
}

/// The card of a device such as `plughw:CARD=Headset,DEV=0`, as its mixer is opened.
fn card_of(device: &str) -> String {
    let card = device
        .split_once(':')
        .and_then(|(_, parts)| parts.split(',').find_map(|part| part.strip_prefix("CARD=")));
    card.map_or_else(|| "default".to_owned(), |card| format!("hw:CARD={card}"))
}

fn output_control((name, element): (&str, &Selem)) -> Control {
    let channels = || SelemChannelId::all().iter().copied();
    let is_on = |channel| element.get_playback_switch(channel).unwrap_or(0) != 0;
    control(
        name,
        element.has_playback_switch() && !channels().any(is_on),
        element.has_playback_volume().then(|| {
            let volumes =
                channels().filter_map(|channel| element.get_playback_volume(channel).ok());
            percent(volumes.max(), element.get_playback_volume_range())
        }),
    )
}

fn input_control((name, element): (&str, &Selem)) -> Control {
    let channels = || SelemChannelId::all().iter().copied();
    let is_on = |channel| element.get_capture_switch(channel).unwrap_or(0) != 0;
    control(
        name,
        element.has_capture_switch() && !channels().any(is_on),
        element.has_capture_volume().then(|| {
            let volumes = channels().filter_map(|channel| element.get_capture_volume(channel).ok());
            percent(volumes.max(), element.get_capture_volume_range())
        }),
    )
}

fn control(name: &str, muted: bool, percent: Option<u32>) -> Control {
    Control {
        id: name.to_owned(),
        name: name.to_owned(),
        // A card has one of each.
        default: true,
        muted,
        percent: percent.unwrap_or(100),
        ..Control::default()
    }
}

fn percent(volume: Option<i64>, (min, max): (i64, i64)) -> u32 {
    let above = volume.unwrap_or(min).saturating_sub(min);
    u32::try_from(above * 100 / (max - min).max(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_is_read_from_the_name_of_the_device() {
        for (device, card) in [
            ("default", "default"),
            ("plughw:CARD=Headset,DEV=0", "hw:CARD=Headset"),
            ("sysdefault:CARD=PCH", "hw:CARD=PCH"),
            ("pulse", "default"),
        ] {
            assert_eq!(card_of(device), card);
        }
    }

    #[test]
    fn volumes_of_any_range_are_percent() {
        assert_eq!(percent(Some(-20), (-60, 20)), 50);
        assert_eq!(percent(Some(0), (0, 65_536)), 0);
        assert_eq!(percent(None, (0, 0)), 0);
    }
}
