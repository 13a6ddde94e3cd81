//! From what a person typed to one device: identifier, name, or a part of a name. And back to a
//! device that was found so once.

use proto::text::one_line;

use super::device_routing::Pin;

/// Finds the one device that `wanted` means among `(identifier, name)`: an exact identifier or
/// name first, then a part of exactly one of them, whatever the case.
///
/// # Errors
/// What to say next: the candidates when several match, else the nearest names, else all.
pub(crate) fn find(devices: &[(String, String)], wanted: &str) -> Result<usize, String> {
    let lower = wanted.to_lowercase();
    let exact = |(id, name): &(String, String)| {
        id == wanted || name == wanted || id.to_lowercase() == lower || name.to_lowercase() == lower
    };
    if let Some(index) = devices.iter().position(exact) {
        return Ok(index);
    }
    let part = |(id, name): &&(String, String)| {
        !lower.is_empty()
            && (id.to_lowercase().contains(&lower) || name.to_lowercase().contains(&lower))
    };
    let matches: Vec<_> = devices.iter().filter(part).collect();
    match matches.as_slice() {
        [] => Err(nearest(devices, &lower)),
        [one] => devices
            .iter()
            .position(|d| d == *one)
            .ok_or_else(String::new),
        several => Err(format!(
            "several match, say which: {}",
            join(several.iter().copied())
        )),
    }
}

/// How to know the device at `index` again.
pub(crate) fn pin(devices: &[(String, String)], index: usize) -> Pin {
    let (id, name) = &devices[index];
    let alike = devices.iter().filter(|(_, other)| other == name).count();
    Pin {
        id: id.clone(),
        name: (alike == 1).then(|| name.clone()),
    }
}

/// Where the device of this pin is among `(identifier, name)`, if it is there.
pub(crate) fn known(
    devices: impl IntoIterator<Item = (String, String)>,
    pin: &Pin,
) -> Option<usize> {
    let mut by_name = None;
    for (index, (id, name)) in devices.into_iter().enumerate() {
        if id == pin.id {
            return Some(index);
        }
        if pin.name.as_ref() == Some(&name) {
            by_name.get_or_insert(index);
        }
    }
    by_name
}

fn nearest(devices: &[(String, String)], wanted: &str) -> String {
    if devices.is_empty() {
        return "there is none at all".to_owned();
    }
    let distance = |text: &str| edit_distance(&text.to_lowercase(), wanted);
    let mut near: Vec<_> = devices
        .iter()
        .map(|device| (distance(&device.0).min(distance(&device.1)), device))
        .filter(|(distance, _)| *distance <= wanted.chars().count() / 3)
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    if near.is_empty() {
        format!("there is {}", join(devices.iter()))
    } else {
        format!(
            "did you mean {}?",
            join(near.into_iter().map(|(_, device)| device).take(3))
        )
    }
}

fn join<'a>(devices: impl Iterator<Item = &'a (String, String)>) -> String {
    let names: Vec<_> = devices
        .map(|(id, name)| {
            let id = &one_line(id);
            if id == name {
                format!("\"{id}\"")
            } else {
                format!("\"{id}\" ({name})")
            }
        })
        .collect();
    names.join(", ")
}

/// Levenshtein's distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Vec<(String, String)> {
        [
            ("hw:0", "Built-in Analog"),
            ("hw:1", "USB Headset Mono"),
            ("alsa_input.usb", "USB Webcam"),
        ]
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
        .to_vec()
    }

    #[test]
    fn identifier_name_and_part_find_the_device_in_any_case() {
        assert_eq!(find(&devices(), "hw:1"), Ok(1));
        assert_eq!(find(&devices(), "built-in analog"), Ok(0));
        assert_eq!(find(&devices(), "WEBCAM"), Ok(2));
    }

    #[test]
    fn a_device_is_known_again_by_its_identifier_and_by_a_name_that_was_its_own() {
        let before = devices();
        let headset = pin(&before, 1);
        assert_eq!(known(before.clone(), &headset), Some(1));
        // Plugged into another socket.
        let mut moved = before.clone();
        moved[1].0 = "hw:7".to_owned();
        assert_eq!(known(moved, &headset), Some(1));
        // Gone: what is left does not pass for it, though it has the words in its name.
        let mut gone = before.clone();
        gone[1] = (
            "hw:1.monitor".to_owned(),
            "Monitor of USB Headset Mono".to_owned(),
        );
        assert_eq!(known(gone, &headset), None);
        // Two of one name: only the identifier tells them apart.
        let mut twins = before;
        twins[2].1 = twins[1].1.clone();
        let one = pin(&twins, 1);
        assert_eq!(known(twins.clone(), &one), Some(1));
        twins.remove(1);
        assert_eq!(known(twins, &one), None);
    }

    #[test]
    fn an_exact_name_wins_over_a_part_of_another() {
        let devices = [
            ("a".to_owned(), "mic two".to_owned()),
            ("b".to_owned(), "mic".to_owned()),
        ];
        assert_eq!(find(&devices, "mic"), Ok(1));
    }

    #[test]
    fn a_part_of_several_asks_which() {
        let hint = find(&devices(), "usb").unwrap_err();
        assert!(
            hint.contains("USB Headset") && hint.contains("USB Webcam"),
            "{hint}"
        );
        assert!(!hint.contains("Built-in"), "{hint}");
    }

    #[test]
    fn a_slip_of_the_finger_gets_the_near_name_and_nonsense_gets_all() {
        let hint = find(&devices(), "usb hedset mono").unwrap_err();
        assert_eq!(hint, "did you mean \"hw:1\" (USB Headset Mono)?");
        let hint = find(&devices(), "xyzzy").unwrap_err();
        assert!(
            hint.contains("hw:0") && hint.contains("hw:1") && hint.contains("Webcam"),
            "{hint}"
        );
        assert_eq!(find(&[], "x").unwrap_err(), "there is none at all");
    }
}
