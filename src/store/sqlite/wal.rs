//! The write-ahead log, looked at before SQLite does: SQLite reads it up to the first frame whose checksum is wrong and
//! passes over all that follows. That is right for a torn end, and silent loss for a bit that was flipped in the middle.
//!
//! The two can be told apart. A transaction begins only when the one before is synced, so a power loss can spoil the last one
//! alone: where more than one transaction lies behind the first wrong frame, the log was damaged after it had been synced.
//! Its form: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use super::failure::Context;
use super::schema;
use crate::store::{Result, StoreError};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Refuses a log that was damaged after it had been written. Holds one frame at a time, however long the log is.
pub(super) fn check(directory: &Path) -> Result<()> {
    let path = directory.join(format!("{}-wal", schema::FILE));
    let read = || match File::open(&path).and_then(|log| damage(&mut BufReader::new(log))) {
        Ok(good) => Ok(good),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(&path),
    };
    let Some(good) = read()? else { return Ok(()) };
    // A gateway may be writing: what is wrong only once was being written.
    match read()? {
        Some(again) if good == again => Err(StoreError::Damaged(format!(
            "{path} is damaged {good} bytes from its start, and transactions that were recorded lie behind that place: restore a \
             backup, or `truncate -s {good} {path}` to go on without them",
            path = path.display()
        ))),
        _ => Ok(()),
    }
}

/// Two sums over 32-bit words, each carried on to the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn over(mut self, bytes: &[u8], word: fn([u8; 4]) -> u32) -> Self {
        let mut words = bytes.as_chunks::<4>().0.iter().map(|bytes| word(*bytes));
        while let (Some(first), Some(second)) = (words.next(), words.next()) {
            self.0 = self.0.wrapping_add(first).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(second).wrapping_add(self.0);
        }
        self
    }

    fn stored(bytes: &[u8]) -> Self {
        Self(number(&bytes[..4]), number(&bytes[4..8]))
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Fills the buffer; `false`: there is less left.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        filled => filled.map(|()| true),
    }
}

/// How many bytes of a log are good, where it was damaged after it had been synced.
fn damage(log: &mut impl Read) -> io::Result<Option<usize>> {
    let mut header = [0; HEADER];
    if !fill(log, &mut header)? {
        return Ok(None);
    }
    let word: fn([u8; 4]) -> u32 = match number(&header[..4]) {
        0x377f_0683 => u32::from_be_bytes,
        _ => u32::from_le_bytes,
    };
    let page = usize::try_from(number(&header[8..12])).unwrap_or_default();
    let right = matches!(number(&header[..4]), 0x377f_0682 | 0x377f_0683)
        && (512..=65536).contains(&page)
        && Sum(0, 0).over(&header[..24], word) == Sum::stored(&header[24..]);
    if !right {
        // A log that has a header alone was only just begun.
        return Ok(fill(log, &mut [0])?.then_some(0));
    }
    let salt = &header[16..24];
    let mut sum = Sum::stored(&header[24..]);
    let mut bad = None;
    // Ends of transactions from the first wrong frame on.
    let mut behind = 0;
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut at = HEADER;
    while fill(log, &mut frame)? {
        let (head, data) = frame.split_at(FRAME_HEADER);
        let ours = &head[8..16] == salt;
        let right = ours && sum.over(&head[..8], word).over(data, word) == Sum::stored(&head[16..]);
        let ends = number(&head[4..8]) > 0;
        if !right && bad.is_none() {
            bad = Some(at);
            behind += usize::from(ours && ends);
        } else if right && bad.is_some() {
            behind += usize::from(ends);
        }
        // Each frame is summed up from what the one before says of itself.
        sum = Sum::stored(&head[16..]);
        at += frame.len();
    }
    Ok(bad.filter(|_| behind > 1))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn damage(mut log: &[u8]) -> Option<usize> {
        super::damage(&mut log).unwrap()
    }

    /// A log of twenty transactions.
    fn log() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(schema::FILE);
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; CREATE TABLE a(b)")
            .unwrap();
        for n in 0..20 {
            conn.execute("INSERT INTO a VALUES(?1)", [format!("{n}{}", "x".repeat(6000))])
                .unwrap();
        }
        std::fs::read(dir.path().join("store.db-wal")).unwrap()
    }

    #[test]
    fn a_whole_log_and_a_torn_end_are_not_damaged() {
        let log = log();
        assert_eq!(damage(&log), None);
        for cut in [0, 1, HEADER - 1, HEADER, HEADER + 1, log.len() / 2, log.len() - 1] {
            assert_eq!(damage(&log[..cut]), None, "cut at {cut}");
        }
        let garbage = [&log[..], &vec![0x5a; 20_000][..]].concat();
        assert_eq!(damage(&garbage), None);
        // An older life of the log lies behind this one, whole, with other salts.
        let mut older = log.clone();
        for frame in older[HEADER..].chunks_exact_mut(FRAME_HEADER + 4096) {
            frame[8] ^= 1;
        }
        assert_eq!(damage(&[&log[..], &older[HEADER..]].concat()), None);
    }

    #[test]
    fn a_flipped_bit_before_the_last_transactions_is_found_wherever_it_is() {
        let log = log();
        for at in (0..log.len() - 8 * (FRAME_HEADER + 4096)).step_by(311) {
            let mut flipped = log.clone();
            flipped[at] ^= 4;
            let good = damage(&flipped).unwrap_or_else(|| panic!("the bit at {at}"));
            assert!(good <= at, "{good} bytes are said to be good, the bit is at {at}");
        }
    }
}
