//! The corners of OTLP's JSON: numbers as text, enums by name, ids in hexadecimal.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// A number that JSON writes as a number or as text.
pub(crate) trait Number: Sized + Default {
    fn from_text(text: &str) -> Option<Self>;
    fn from_u64(number: u64) -> Option<Self>;
    fn from_i64(number: i64) -> Option<Self>;
    fn from_f64(number: f64) -> Option<Self>;
}

macro_rules! whole {
    ($($type:ty)*) => {$(
        impl Number for $type {
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn from_u64(number: u64) -> Option<Self> {
                number.try_into().ok()
            }
            fn from_i64(number: i64) -> Option<Self> {
                number.try_into().ok()
            }
            fn from_f64(_: f64) -> Option<Self> {
                None
            }
        }
    )*};
}

whole!(u64 i64);

impl Number for f64 {
    fn from_text(text: &str) -> Option<Self> {
        match text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok().filter(|number: &f64| number.is_finite()),
        }
    }
    fn from_u64(number: u64) -> Option<Self> {
        Some(number as f64)
    }
    fn from_i64(number: i64) -> Option<Self> {
        Some(number as f64)
    }
    fn from_f64(number: f64) -> Option<Self> {
        Some(number)
    }
}

struct Lenient<N>(N);

impl<'de, N: Number> Deserialize<'de> for Lenient<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<N>(PhantomData<N>);
        impl<N: Number> Visitor<'_> for Either<N> {
            type Value = Lenient<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or one as text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let number = N::from_text(text);
                number.map(Lenient).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                let read = N::from_u64(number);
                read.map(Lenient).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                let read = N::from_i64(number);
                read.map(Lenient).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                let read = N::from_f64(number);
                read.map(Lenient).ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// A number; `null` is 0.
pub(crate) fn number<'de, D: Deserializer<'de>, N: Number>(deserializer: D) -> Result<N, D::Error> {
    Ok(some_number(deserializer)?.unwrap_or_default())
}

/// A number, or `null`.
pub(crate) fn some_number<'de, D: Deserializer<'de>, N: Number>(
    deserializer: D,
) -> Result<Option<N>, D::Error> {
    Ok(Option::<Lenient<N>>::deserialize(deserializer)?.map(|Lenient(number)| number))
}

/// A list of numbers.
pub(crate) fn numbers<'de, D: Deserializer<'de>, N: Number>(deserializer: D) -> Result<Vec<N>, D::Error> {
    let numbers = Vec::<Lenient<N>>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|Lenient(number)| number).collect())
}

/// `2`, or `AGGREGATION_TEMPORALITY_CUMULATIVE`. An unknown name is 0, as an unknown number would be taken.
pub(crate) fn temporality<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i32),
        Name(String),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Number(number) => number,
        Either::Name(name) => match name.as_str() {
            "AGGREGATION_TEMPORALITY_DELTA" => 1,
            "AGGREGATION_TEMPORALITY_CUMULATIVE" => 2,
            _ => 0,
        },
    })
}

/// Bytes as hexadecimal text.
pub(crate) fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err(de::Error::custom("an id that is not hexadecimal")),
    }
}
