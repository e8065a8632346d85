//! A walk over the bytes of one protobuf message without copying any of them.
//!
//! For the paths where a derived message would cost more than what is done with its content. Errors are worded as the
//! code says them that Go's peers generate from their `.proto` files, since clients print them.

/// Groups within groups that are skipped; nobody sends any.
const MAX_GROUP_DEPTH: usize = 32;

/// Bytes of the longest varint.
const MAX_VARINT_BYTES: usize = 10;

/// Why bytes are not the message that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The bytes end inside of a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A length that no slice has.
    #[error("proto: negative length found during unmarshaling")]
    NegativeLength,
    /// A field number of 0.
    #[error("proto: {message}: illegal tag 0 (wire type {wire_type})")]
    IllegalTag {
        /// Name of the message.
        message: &'static str,
        /// The tag's low three bits.
        wire_type: u8,
    },
    /// One of the two wire types that do not exist.
    #[error("proto: illegal wireType {0}")]
    IllegalWireType(u8),
    /// A known field in another shape than its own.
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WrongWireType {
        /// The tag's low three bits.
        wire_type: u8,
        /// Name of the field.
        field: &'static str,
    },
    /// The end of a group that never began, or groups nested beyond reason.
    #[error("proto: unexpected end of group")]
    EndOfGroup,
}

/// The content of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    /// A group, which no message here has: skipped whole.
    Group,
}

impl<'a> Value<'a> {
    fn wire_type(self) -> u8 {
        match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Group => 3,
            Self::Fixed32(_) => 5,
        }
    }

    fn wrong<T>(self, field: &'static str) -> Result<T, ProtobufError> {
        Err(ProtobufError::WrongWireType { wire_type: self.wire_type(), field })
    }

    pub(crate) fn bytes(self, field: &'static str) -> Result<&'a [u8], ProtobufError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { self.wrong(field) }
    }

    pub(crate) fn varint(self, field: &'static str) -> Result<u64, ProtobufError> {
        if let Self::Varint(value) = self { Ok(value) } else { self.wrong(field) }
    }

    pub(crate) fn double(self, field: &'static str) -> Result<f64, ProtobufError> {
        if let Self::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { self.wrong(field) }
    }

    /// Hands every number of a repeated field to `take`, whether they come packed or one by one.
    pub(crate) fn varints(self, field: &'static str, mut take: impl FnMut(u64)) -> Result<(), ProtobufError> {
        match self {
            Self::Varint(value) => take(value),
            Self::Bytes(bytes) => {
                let mut reader = Reader::new("", bytes);
                while !reader.is_empty() {
                    take(reader.varint()?);
                }
            }
            _ => return self.wrong(field),
        }
        Ok(())
    }

    /// As [`varints`](Self::varints), for doubles.
    pub(crate) fn doubles(self, field: &'static str, out: &mut Vec<f64>) -> Result<(), ProtobufError> {
        match self {
            Self::Fixed64(bits) => out.push(f64::from_bits(bits)),
            Self::Bytes(bytes) => {
                let (values, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(ProtobufError::Truncated);
                }
                out.extend(values.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            _ => return self.wrong(field),
        }
        Ok(())
    }
}

/// Reads the fields of one message.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// `message` is its name, for errors.
    pub(crate) fn new(message: &'static str, bytes: &'a [u8]) -> Self {
        Self { message, rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field's number and content; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Value::Bytes(self.delimited()?),
            3 => {
                self.skip_group()?;
                Value::Group
            }
            4 => return Err(ProtobufError::EndOfGroup),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(ProtobufError::IllegalWireType(other)),
        };
        Ok(Some((number, value)))
    }

    /// If the next byte is the tag of a length-delimited field below number 16, reads the field.
    #[inline]
    pub(crate) fn next_if_delimited(&mut self, tag: u8) -> Result<Option<&'a [u8]>, ProtobufError> {
        match self.rest.split_first() {
            Some((&first, rest)) if first == tag => {
                self.rest = rest;
                self.delimited().map(Some)
            }
            _ => Ok(None),
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, ProtobufError> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(MAX_VARINT_BYTES).enumerate() {
            // Bits above the 64th are dropped, as Go drops them.
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        let is_cut = self.rest.len() < MAX_VARINT_BYTES;
        Err(if is_cut { ProtobufError::Truncated } else { ProtobufError::Overflow })
    }

    fn tag(&mut self) -> Result<(u32, u8), ProtobufError> {
        let tag = self.varint()?;
        let wire_type = (tag & 7) as u8;
        // A number above 32 bits is cut, as Go cuts it.
        #[expect(clippy::cast_possible_truncation, reason = "as in the peer's generated code")]
        let number = (tag >> 3) as u32;
        if number == 0 {
            return Err(ProtobufError::IllegalTag { message: self.message, wire_type });
        }
        Ok((number, wire_type))
    }

    #[inline]
    fn delimited(&mut self) -> Result<&'a [u8], ProtobufError> {
        let len = self.varint()?;
        if len > i64::MAX.unsigned_abs() {
            return Err(ProtobufError::NegativeLength);
        }
        let len = usize::try_from(len).map_err(|_| ProtobufError::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ProtobufError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(ProtobufError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// Skips to behind the end of a group whose start was read.
    fn skip_group(&mut self) -> Result<(), ProtobufError> {
        let mut depth = 1;
        while depth > 0 {
            match self.tag()?.1 {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.delimited()?),
                3 if depth < MAX_GROUP_DEPTH => depth += 1,
                3 => return Err(ProtobufError::EndOfGroup),
                4 => depth -= 1,
                5 => drop(self.array::<4>()?),
                other => return Err(ProtobufError::IllegalWireType(other)),
            }
        }
        Ok(())
    }
}

/// A signed number as `sint32` and `sint64` write it.
pub(crate) fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, String> {
        let mut reader = Reader::new("M", bytes);
        let mut fields = Vec::new();
        while let Some(field) = reader.next().map_err(|error| error.to_string())? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn every_wire_type() {
        let bytes =
            b"\x08\xac\x02\x11\x01\0\0\0\0\0\0\0\x1a\x02ab\x25\x02\0\0\0\x2b\x0a\x01x\x33\x34\x2c\x30\x05";
        let fields = all(bytes).unwrap();
        assert_eq!(
            fields,
            [
                (1, Value::Varint(300)),
                (2, Value::Fixed64(1)),
                (3, Value::Bytes(b"ab")),
                (4, Value::Fixed32(2)),
                (5, Value::Group),
                (6, Value::Varint(5)),
            ]
        );
    }

    #[test]
    fn refusals_in_the_words_of_the_peer() {
        for (bytes, words) in [
            (&b"\x08"[..], "unexpected EOF"),
            (b"\x0a\x05abc", "unexpected EOF"),
            (b"\x09\0\0", "unexpected EOF"),
            (b"\x80", "unexpected EOF"),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "proto: integer overflow"),
            (b"\x02\0", "proto: M: illegal tag 0 (wire type 2)"),
            (b"\x0e", "proto: illegal wireType 6"),
            (b"\x0c", "proto: unexpected end of group"),
            (
                b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "proto: negative length found during unmarshaling",
            ),
        ] {
            assert_eq!(all(bytes).unwrap_err(), words, "{bytes:?}");
        }
        let deep = vec![0x0b; 100_000];
        assert!(all(&deep).is_err());
        let value = Value::Varint(1);
        assert_eq!(
            value.bytes("Labels").unwrap_err().to_string(),
            "proto: wrong wireType = 0 for field Labels"
        );
    }

    #[test]
    fn zigzag_of_small_and_extreme_numbers() {
        assert_eq!([0, 1, 2, 3, u64::MAX, u64::MAX - 1].map(zigzag), [0, -1, 1, -2, i64::MIN, i64::MAX]);
    }
}
