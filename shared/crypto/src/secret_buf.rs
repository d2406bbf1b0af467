//! Memory that is wiped before it is freed, for the keyring and for credentials. A `Vec` that grows leaves its old bytes
//! behind, and so does serde_json's writer.

use std::io::{self, Read, Write};

use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

const FIRST_CAPACITY: usize = 512;

/// Bytes that grow without leaving copies: the memory that became too small is wiped.
#[derive(Default)]
struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let capacity = needed.max(self.0.capacity() * 2).max(FIRST_CAPACITY);
            let mut larger = Vec::with_capacity(capacity);
            move_out(&mut self.0, &mut larger);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies the bytes and leaves zeros.
fn move_out(from: &mut [u8], to: &mut Vec<u8>) {
    to.extend_from_slice(from);
    from.zeroize();
}

/// Reads to the end; `None` if there is more than `limit`.
pub fn read(from: impl Read, limit: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut from = from.take(limit as u64 + 1);
    let (mut buffer, mut chunk) = (Buffer::default(), Zeroizing::new([0u8; 4096]));
    loop {
        match from.read(chunk.as_mut()) {
            Ok(0) => break,
            Ok(count) => buffer.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((buffer.0.len() <= limit).then_some(buffer.0))
}

/// Formats a value as JSON over several lines; empty if it cannot be JSON, which no type here is.
pub(super) fn pretty_json(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut buffer = Buffer::default();
    if serde_json::to_writer_pretty(&mut buffer, value).is_err() {
        return Zeroizing::default();
    }
    buffer.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moving_bytes_out_leaves_zeros() {
        let (mut from, mut to) = (*b"026291800001191", Vec::new());
        move_out(&mut from, &mut to);
        assert_eq!(
            (from, to.as_slice()),
            ([0; 15], b"026291800001191".as_slice())
        );
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let long = vec![7u8; 10_000];
        assert_eq!(
            read(long.as_slice(), 10_000).unwrap().unwrap().as_slice(),
            long
        );
        assert!(read(long.as_slice(), 9_999).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn a_buffer_holds_the_pushed_bytes(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..20)) {
            let mut buffer = Buffer::default();
            for part in &parts {
                let (capacity, length) = (buffer.0.capacity(), buffer.0.len());
                buffer.push(part);
                // It grows only by itself, where it wipes the old memory.
                prop_assert!(buffer.0.capacity() == capacity || length + part.len() > capacity);
            }
            prop_assert_eq!(&buffer.0[..], parts.concat());
        }

        #[test]
        fn json_equals_the_one_of_serde_json(texts in proptest::collection::vec(any::<String>(), 0..40)) {
            let written = pretty_json(&texts);
            prop_assert_eq!(written.as_slice(), serde_json::to_vec_pretty(&texts).unwrap());
        }
    }
}
