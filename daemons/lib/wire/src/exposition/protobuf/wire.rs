//! Protobuf's encoding, as far as a reader of known messages needs it: fields in the order of the bytes, nothing copied.

use std::fmt;

/// Bytes that are no protobuf, or a field of another type than its message says; in the words of the peer's decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WireError(pub(super) String);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn error<T>(message: &str) -> Result<T, WireError> {
    Err(WireError(message.to_owned()))
}

/// The content of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn wrong(self, name: &str) -> WireError {
        let wire_type = match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32(_) => 5,
        };
        WireError(format!("proto: wrong wireType = {wire_type} for field {name}"))
    }

    pub(super) fn bytes(self, name: &str) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(other.wrong(name)),
        }
    }

    pub(super) fn varint(self, name: &str) -> Result<u64, WireError> {
        match self {
            Self::Varint(value) => Ok(value),
            other => Err(other.wrong(name)),
        }
    }

    /// `sint32`, `sint64`.
    pub(super) fn signed(self, name: &str) -> Result<i64, WireError> {
        self.varint(name).map(zigzag)
    }

    pub(super) fn double(self, name: &str) -> Result<f64, WireError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            other => Err(other.wrong(name)),
        }
    }

    /// Elements of a `repeated sint64`, packed or one by one.
    pub(super) fn signed_list(self, name: &str, out: &mut Vec<i64>) -> Result<(), WireError> {
        match self {
            Self::Varint(value) => out.push(zigzag(value)),
            Self::Bytes(mut rest) => {
                while !rest.is_empty() {
                    out.push(zigzag(varint(&mut rest)?));
                }
            }
            other => return Err(other.wrong(name)),
        }
        Ok(())
    }

    /// Elements of a `repeated double`, packed or one by one.
    pub(super) fn double_list(self, name: &str, out: &mut Vec<f64>) -> Result<(), WireError> {
        match self {
            Self::Fixed64(bits) => out.push(f64::from_bits(bits)),
            Self::Bytes(bytes) => {
                let (eights, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return error("unexpected EOF");
                }
                out.extend(eights.iter().map(|eight| f64::from_le_bytes(*eight)));
            }
            other => return Err(other.wrong(name)),
        }
        Ok(())
    }
}

/// Iterator over the fields of one message: number and content. After an error it ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<(u64, Field<'a>), WireError> {
        let key = varint(&mut self.rest)?;
        let number = key >> 3;
        if number == 0 || number > u64::from(u32::MAX >> 3) {
            return Err(WireError(format!("proto: illegal tag {number} (wire type {key})")));
        }
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut self.rest)?),
            1 => Field::Fixed64(u64::from_le_bytes(self.take::<8>()?)),
            2 => {
                let length = varint(&mut self.rest)?;
                match usize::try_from(length).ok().and_then(|n| self.rest.split_at_checked(n)) {
                    Some((bytes, rest)) => {
                        self.rest = rest;
                        Field::Bytes(bytes)
                    }
                    None => return error("unexpected EOF"),
                }
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.take::<4>()?)),
            other => return Err(WireError(format!("proto: illegal wireType {other}"))),
        };
        Ok((number, field))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<N>() else {
            return error("unexpected EOF");
        };
        self.rest = rest;
        Ok(*bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Reads a varint off the front.
pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let Some((&byte, after)) = rest.split_first() else {
            return error("unexpected EOF");
        };
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    error("proto: integer overflow")
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// `google.protobuf.Timestamp` in milliseconds.
pub(super) fn timestamp_ms(message: &[u8]) -> Result<i64, WireError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    for field in Fields::new(message) {
        match field? {
            (1, value) => seconds = value.varint("Seconds")?.cast_signed(),
            (2, value) => nanos = value.varint("Nanos")?.cast_signed(),
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}
