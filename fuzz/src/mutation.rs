//! New inputs from old ones. Pure: the same generator, the same inputs.

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

/// No input is longer.
pub const MAX_BYTES: usize = 8 * 1_024;

/// Bytes and numbers at which something often changes.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    u64::MAX,
];

/// An input made from one or two of those that there are; now and then of nothing but chance.
pub fn mutated(population: &[Vec<u8>], random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let pick = |random: &mut Xoshiro256PlusPlus| match population.len() {
        0 => Vec::new(),
        count => population[random.random_range(0..count)].clone(),
    };
    let mut input = match random.random_range(0..20) {
        0 => noise(random),
        _ => pick(random),
    };
    for _ in 0..1 << random.random_range(0..5) {
        match random.random_range(0..8) {
            0 | 1 => set_byte(&mut input, random),
            2 => set_number(&mut input, random),
            3 => flip_bit(&mut input, random),
            4 => remove(&mut input, random),
            5 => repeat(&mut input, random),
            6 => insert(&mut input, random),
            _ => splice(&mut input, &pick(random), random),
        }
    }
    input.truncate(MAX_BYTES);
    input
}

fn noise(random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut input = vec![0; random.random_range(0..512)];
    random.fill(&mut input[..]);
    input
}

/// A part that is not empty, unless there is nothing.
fn part(input: &[u8], random: &mut Xoshiro256PlusPlus) -> std::ops::Range<usize> {
    if input.is_empty() {
        return 0..0;
    }
    let start = random.random_range(0..input.len());
    // Short ones are likelier.
    let longest = (input.len() - start).min(1 << random.random_range(0..11));
    start..start + random.random_range(1..=longest)
}

fn set_byte(input: &mut [u8], random: &mut Xoshiro256PlusPlus) {
    let place = part(input, random).start;
    if let Some(byte) = input.get_mut(place) {
        *byte = random.random();
    }
}

fn set_number(input: &mut [u8], random: &mut Xoshiro256PlusPlus) {
    let number = EDGES[random.random_range(0..EDGES.len())].to_le_bytes();
    let place = part(input, random).start;
    let width = 1 << random.random_range(0..4);
    for (byte, value) in input[place..].iter_mut().zip(number).take(width) {
        *byte = value;
    }
}

fn flip_bit(input: &mut [u8], random: &mut Xoshiro256PlusPlus) {
    let place = part(input, random).start;
    if let Some(byte) = input.get_mut(place) {
        *byte ^= 1 << random.random_range(0..8);
    }
}

fn remove(input: &mut Vec<u8>, random: &mut Xoshiro256PlusPlus) {
    let part = part(input, random);
    input.drain(part);
}

fn repeat(input: &mut Vec<u8>, random: &mut Xoshiro256PlusPlus) {
    let part = part(input, random);
    let place = part.end;
    let copy = input[part].repeat(1 << random.random_range(0..4));
    input.splice(place..place, copy);
}

fn insert(input: &mut Vec<u8>, random: &mut Xoshiro256PlusPlus) {
    let place = random.random_range(0..=input.len());
    let mut bytes = vec![0; random.random_range(1..9)];
    random.fill(&mut bytes[..]);
    input.splice(place..place, bytes);
}

/// A part of the other in the place of one of its own.
fn splice(input: &mut Vec<u8>, other: &[u8], random: &mut Xoshiro256PlusPlus) {
    let taken = other[part(other, random)].to_vec();
    let replaced = part(input, random);
    input.splice(replaced, taken);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn inputs(seed: u64, population: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..500).map(|_| mutated(population, &mut random)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_makes_others() {
        let population = [b"ticker_symbol,current_price\n".to_vec(), vec![0; 64]];
        assert_eq!(inputs(1, &population), inputs(1, &population));
        assert_ne!(inputs(1, &population), inputs(2, &population));
    }

    #[test]
    fn inputs_come_of_nothing_and_grow_no_longer_than_they_may() {
        assert!(inputs(1, &[]).iter().any(|input| !input.is_empty()));
        let long = inputs(1, &[vec![7; MAX_BYTES]]);
        assert!(long.iter().all(|input| input.len() <= MAX_BYTES));
    }
}
