//! The value at a path of a JSON text, found without reading what is not on the way.

use crate::json_scan::{Event, JsonError, Kind, Step, each_member, skip_blanks, value_at};

/// One step of a path into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathStep {
    /// A member of an object.
    Field(String),
    /// An element of an array.
    Index(usize),
}

/// A value as written, and its kind.
pub(crate) type Found<'a> = (&'a [u8], Kind);

/// The value at `path` of the document `data`; the first of equal keys. `None` when there is none, or when the text is
/// broken before it.
///
/// # Errors
/// [`JsonError`] when the value itself is broken.
pub(crate) fn lookup<'a>(data: &'a [u8], path: &[PathStep]) -> Result<Option<Found<'a>>, JsonError> {
    let Some(at) = skip_blanks(data, 0) else { return Ok(None) };
    let (mut value, mut kind) = match data[at] {
        // The document itself need not be closed for its first members to be found.
        b'{' => (&data[at..], Kind::Object),
        b'[' => (&data[at..], Kind::Array),
        _ => match value_at(data, at, true) {
            Ok((value, kind, _)) => (value, kind),
            Err(_) => return Ok(None),
        },
    };
    for (at, step) in path.iter().enumerate() {
        let found = match (step, kind) {
            (PathStep::Field(name), Kind::Object) if at + 1 == path.len() => member(value, name)?,
            // What is broken on the way to the value is as good as missing.
            (PathStep::Field(name), Kind::Object) => member(value, name).unwrap_or(None),
            (PathStep::Index(index), Kind::Array) => element(value, *index),
            _ => None,
        };
        match found {
            Some(found) => (value, kind) = found,
            None => return Ok(None),
        }
    }
    Ok(Some((value, kind)))
}

fn member<'a>(object: &'a [u8], name: &str) -> Result<Option<Found<'a>>, JsonError> {
    let mut found = Ok(None);
    let _ = each_member(object, &mut |event| match event {
        Event::Member { key, value, kind } if *key == *name.as_bytes() => {
            found = Ok(Some((value, kind)));
            Step::Stop
        }
        Event::Fault { key, error } if *key == *name.as_bytes() => {
            found = Err(error);
            Step::Stop
        }
        _ => Step::SkipObject,
    });
    found
}

fn element(array: &[u8], index: usize) -> Option<Found<'_>> {
    let mut at = 1;
    for position in 0.. {
        at = skip_blanks(array, at)?;
        if array[at] == b']' {
            return None;
        }
        let (value, kind, end) = value_at(array, at, true).ok()?;
        if position == index {
            return Some((value, kind));
        }
        at = skip_blanks(array, end)?;
        if array[at] != b',' {
            return None;
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let text = br#"{"a":{"b":[10,{"c":"x"}]},"a":2}"#;
        let path = [
            PathStep::Field("a".into()),
            PathStep::Field("b".into()),
            PathStep::Index(1),
            PathStep::Field("c".into()),
        ];
        assert_eq!(lookup(text, &path), Ok(Some((&b"x"[..], Kind::String))));
        assert_eq!(lookup(text, &[PathStep::Index(0)]), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in r#"[\[\]{}",:\\ua0-9 tn-]{0,60}"#) {
            let _ = lookup(text.as_bytes(), &[PathStep::Field("a".into()), PathStep::Index(1)]);
        }
    }
}
