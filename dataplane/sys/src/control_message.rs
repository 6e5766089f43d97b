//! Control messages (`cmsghdr`) as bytes, so that neither direction needs
//! pointer arithmetic.

/// `cmsghdr`: length (a `size_t`), level, type.
pub const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = align_of::<libc::cmsghdr>();

/// Bytes a message with `data` bytes takes, padding included (`CMSG_SPACE`).
pub const fn space(data: usize) -> usize {
    HEADER + data.next_multiple_of(ALIGN)
}

/// Appends a message at `at` and returns the position behind it. The caller
/// sized `into` for every message it appends.
#[inline]
pub fn append(into: &mut [u8], at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
    let length = HEADER + data.len();
    let end = at + space(data.len());
    let message = &mut into[at..end];
    message[..8].copy_from_slice(&(length as u64).to_ne_bytes());
    message[8..12].copy_from_slice(&level.to_ne_bytes());
    message[12..16].copy_from_slice(&kind.to_ne_bytes());
    message[HEADER..length].copy_from_slice(data);
    message[length..].fill(0);
    end
}

/// The messages in `bytes`: level, type, data. Ends at the first that does not
/// fit.
#[inline]
pub fn iterate(bytes: &[u8]) -> Messages<'_> {
    Messages { rest: bytes }
}

/// See [`iterate`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = (i32, i32, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let header = self.rest.first_chunk::<HEADER>()?;
        let (length, rest) = header.split_first_chunk::<8>()?;
        let (level, kind) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u64::from_ne_bytes(*length)).ok()?;
        let level = i32::from_ne_bytes(*level);
        let kind = i32::from_ne_bytes(*kind.first_chunk::<4>()?);
        let data = self.rest.get(HEADER..length)?;
        let next = length.next_multiple_of(ALIGN);
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some((level, kind, data))
    }
}

const _: () = assert!(
    HEADER == 16 && ALIGN == 8,
    "control messages are encoded for 64-bit Linux"
);
