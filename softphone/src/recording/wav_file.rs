//! A WAV file of 16 bits that grows. Its header is made true again and again, and never says more than
//! what is on the disk: whatever ends the program, or the power, what was written until then can be
//! played.
//!
//! Past 4 GiB it goes on as RF64 (EBU Tech 3306), for which there is room from the beginning.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use super::RATE_HZ;

/// Bytes before the first sample: form, ds64 or the room for it, fmt, and the data chunk's own header.
const HEADER_BYTES: u64 = 12 + 36 + 24 + 8;

const SAMPLE_BYTES: u16 = 2;

/// Where the file is written to as it comes.
pub(super) struct WavFile<W: Write> {
    out: BufWriter<W>,
    channels: u16,
    /// All sound until now, written through or not.
    data_bytes: u64,
}

impl<W: Write + Seek> WavFile<W> {
    /// An empty one.
    ///
    /// # Errors
    /// It cannot be written, like all below.
    pub(super) fn new(out: W, channels: u16) -> io::Result<Self> {
        let mut file = Self {
            out: BufWriter::new(out),
            channels,
            data_bytes: 0,
        };
        file.write_header()?;
        Ok(file)
    }

    /// Appends samples, interleaved.
    pub(super) fn write(&mut self, samples: &[f32]) -> io::Result<()> {
        for &sample in samples {
            // `as` saturates.
            let sample = (sample * 32_768.0).round() as i16;
            self.out.write_all(&sample.to_le_bytes())?;
            self.data_bytes += u64::from(SAMPLE_BYTES);
        }
        Ok(())
    }

    /// Writes everything through: first the sound, then how much it is. In between, `sync` has what was
    /// written reach the disk: the system would write the two in any order.
    pub(super) fn make_whole(&mut self, sync: impl FnOnce(&W) -> io::Result<()>) -> io::Result<()> {
        self.out.flush()?;
        sync(self.out.get_ref())?;
        self.write_header()
    }

    fn write_header(&mut self) -> io::Result<()> {
        // Each seek writes through, too.
        self.out.seek(SeekFrom::Start(0))?;
        self.out
            .write_all(&header(self.channels, self.data_bytes))?;
        let end = HEADER_BYTES + self.data_bytes;
        self.out.seek(SeekFrom::Start(end)).map(drop)
    }

    /// How much there is.
    pub(super) fn samples_per_channel(&self) -> u64 {
        self.data_bytes / u64::from(SAMPLE_BYTES * self.channels)
    }

    /// What it is written to.
    pub(super) fn get_ref(&self) -> &W {
        self.out.get_ref()
    }
}

/// The first [`HEADER_BYTES`] of a file.
fn header(channels: u16, data_bytes: u64) -> Vec<u8> {
    let riff_bytes = HEADER_BYTES - 8 + data_bytes;
    let block = channels * SAMPLE_BYTES;
    let short = |size: u64| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let (form, room): (_, &[u8; 4]) = match u32::try_from(riff_bytes) {
        Ok(_) => (b"RIFF", b"JUNK"),
        Err(_) => (b"RF64", b"ds64"),
    };
    let mut header = [&form[..], &short(riff_bytes), b"WAVE"].concat();
    // Length of the whole, of the sound in bytes and in samples, and no table.
    header.extend_from_slice(room);
    header.extend(28u32.to_le_bytes());
    let samples = data_bytes / u64::from(block);
    header.extend(
        [riff_bytes, data_bytes, samples]
            .map(u64::to_le_bytes)
            .concat(),
    );
    header.extend(0u32.to_le_bytes());
    // Integers (format 1).
    header.extend(b"fmt ");
    header.extend(16u32.to_le_bytes());
    header.extend([1, channels].map(u16::to_le_bytes).concat());
    header.extend(
        [RATE_HZ, RATE_HZ * u32::from(block)]
            .map(u32::to_le_bytes)
            .concat(),
    );
    header.extend([block, 8 * SAMPLE_BYTES].map(u16::to_le_bytes).concat());
    header.extend(b"data");
    // Where the whole is too long for four bytes, the length of the sound stands only in the long place.
    header.extend(match form {
        b"RIFF" => short(data_bytes),
        _ => u32::MAX.to_le_bytes(),
    });
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use audio::Wav;
    use std::{cell::RefCell, io::Cursor};

    /// A disk with so much room, which says so only when it is full.
    #[derive(Default)]
    struct Disk {
        room: usize,
        file: Cursor<Vec<u8>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = self.room.saturating_sub(self.file.position() as usize);
            match bytes.len().min(left) {
                0 => Err(io::ErrorKind::StorageFull.into()),
                some => self.file.write(&bytes[..some]),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    /// A tenth of a second in two parts, each of them made whole.
    fn record(disk: &mut Disk) -> io::Result<()> {
        let mut file = WavFile::new(disk, 2)?;
        for _ in 0..2 {
            file.write(&[0.5; 4_800])?;
            file.make_whole(|_| Ok(()))?;
        }
        assert_eq!(file.samples_per_channel(), 4_800);
        Ok(())
    }

    /// What a file has of sound by its own header.
    fn length(file: &[u8]) -> Option<usize> {
        let stated = file.get(76..80)?;
        let stated = u32::from_le_bytes(stated.try_into().unwrap());
        assert!(
            stated as usize <= file.len() - 80,
            "more is said than is there"
        );
        Some(stated as usize)
    }

    #[test]
    fn a_disk_that_fills_at_any_byte_is_an_error_and_what_was_whole_stays_so() {
        let all = 80 + 4 * 4_800;
        for room in (0..all).step_by(7).chain(all - 20..all) {
            let mut disk = Disk {
                room,
                ..Disk::default()
            };
            assert!(record(&mut disk).is_err(), "room for {room} of {all} bytes");
            let expected = match room {
                ..80 => None,
                room if room < 80 + 2 * 4_800 => Some(0),
                _ => Some(2 * 4_800),
            };
            assert_eq!(
                length(disk.file.get_ref()),
                expected,
                "room for {room} bytes"
            );
        }
        let mut disk = Disk {
            room: all,
            ..Disk::default()
        };
        record(&mut disk).unwrap();
        let file = Wav::parse(disk.file.into_inner()).unwrap();
        assert_eq!((file.channels(), file.samples_per_channel()), (2, 4_800));
        let mut samples = Vec::new();
        file.append(0, usize::MAX, &mut samples);
        assert!(samples.iter().all(|&sample| sample == 0.5));
    }

    /// What was done to a file, in order.
    #[derive(Debug)]
    enum Operation {
        Write { at: usize, bytes: Vec<u8> },
        Sync,
    }

    /// A file that remembers it.
    #[derive(Default)]
    struct Journal {
        position: u64,
        operations: RefCell<Vec<Operation>>,
    }

    impl Write for Journal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.operations.get_mut().push(Operation::Write {
                at: self.position as usize,
                bytes: bytes.to_vec(),
            });
            self.position += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Journal {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            let SeekFrom::Start(position) = to else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            self.position = position;
            Ok(position)
        }
    }

    /// What a disk holds after a power cut: all until the last sync, and of what came after it only what
    /// is a header, which may be the first to be written.
    fn after_power_cut(operations: &[Operation]) -> Vec<u8> {
        let is_sync = |operation: &Operation| matches!(operation, Operation::Sync);
        let synced = operations.iter().rposition(is_sync).unwrap_or(0);
        let mut disk = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            if let Operation::Write { at, bytes } = operation
                && (number < synced || *at == 0)
            {
                let end = disk.len().max(at + bytes.len());
                disk.resize(end, 0);
                disk[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
        disk
    }

    #[test]
    fn after_a_power_cut_at_any_moment_the_header_says_no_more_than_is_on_the_disk() {
        let mut file = WavFile::new(Journal::default(), 2).unwrap();
        for _ in 0..5 {
            // More than what is written at once.
            file.write(&[0.5; 9_600]).unwrap();
            file.make_whole(|journal| {
                journal.operations.borrow_mut().push(Operation::Sync);
                Ok(())
            })
            .unwrap();
        }
        let operations = file.get_ref().operations.take();
        let mut lengths = Vec::new();
        for count in 1..=operations.len() {
            lengths.push(length(&after_power_cut(&operations[..count])).unwrap());
        }
        assert!(lengths.is_sorted(), "{lengths:?}");
        assert_eq!(lengths.last(), Some(&(5 * 2 * 9_600)));
    }

    #[test]
    fn past_four_gigabytes_the_length_is_still_true() {
        let long = u64::from(u32::MAX) - 72;
        let sizes = |header: &[u8]| -> (Vec<u8>, u32, u64, u32) {
            let short = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
            let data = u64::from_le_bytes(header[28..36].try_into().unwrap());
            (header[..4].to_vec(), short(4), data, short(76))
        };
        let last = header(2, long - 3);
        assert_eq!(
            sizes(&last),
            (b"RIFF".to_vec(), u32::MAX - 3, long - 3, (long - 3) as u32)
        );
        assert_eq!(&last[12..16], b"JUNK");
        for bytes in [long + 1, 5 << 30] {
            let header = header(2, bytes);
            assert_eq!(
                sizes(&header),
                (b"RF64".to_vec(), u32::MAX, bytes, u32::MAX)
            );
            assert_eq!(&header[12..16], b"ds64");
            // Our own reader knows what it means.
            let refused = Wav::parse(header).unwrap_err().to_string();
            assert!(
                refused.contains(&format!("should hold {bytes} bytes")),
                "{refused}"
            );
        }
    }
}
