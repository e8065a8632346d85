//! `ip("10.0.0.0/8")`: addresses, ranges and prefixes, and the search for addresses in a text.

use std::net::IpAddr;

/// What `ip(...)` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IpPattern {
    /// First and last address of a range; a single address or a prefix is one too.
    Range(IpAddr, IpAddr),
}

impl IpPattern {
    /// Reads `10.0.0.1`, `10.0.0.1-10.0.0.9`, `10.0.0.0/8`, and the same for IPv6. `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Range(address, address));
        }
        if let Some((from, to)) = text.split_once('-') {
            let (from, to): (IpAddr, IpAddr) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            return (from.is_ipv4() == to.is_ipv4() && from <= to).then_some(Self::Range(from, to));
        }
        let (address, bits) = text.split_once('/')?;
        if bits.is_empty()
            || !bits.bytes().all(|b| b.is_ascii_digit())
            || (bits.len() > 1 && bits.starts_with('0'))
        {
            return None;
        }
        let bits: u32 = bits.parse().ok()?;
        match address.parse().ok()? {
            IpAddr::V4(address) if bits <= 32 => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                let first = address.to_bits() & mask;
                Some(Self::Range(IpAddr::V4(first.into()), IpAddr::V4((first | !mask).into())))
            }
            IpAddr::V6(address) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                let first = address.to_bits() & mask;
                Some(Self::Range(IpAddr::V6(first.into()), IpAddr::V6((first | !mask).into())))
            }
            _ => None,
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let Self::Range(from, to) = self;
        from.is_ipv4() == address.is_ipv4() && *from <= address && address <= *to
    }

    /// Whether any address in the text is meant. An address starts where digits and a dot, or hexadecimal digits and
    /// a colon, stand, and goes as far as its characters do.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let len = if starts_v4(rest) {
                rest.iter().position(|b| !(b.is_ascii_digit() || *b == b'.')).unwrap_or(rest.len())
            } else if starts_v6(rest) {
                let is_part = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
                rest.iter().position(|b| !is_part(b)).unwrap_or(rest.len())
            } else {
                at += 1;
                continue;
            };
            let address = std::str::from_utf8(&rest[..len]).ok().and_then(|t| t.parse::<IpAddr>().ok());
            if address.is_some_and(|a| self.contains(a)) {
                return true;
            }
            at += len + 1;
        }
        false
    }
}

fn starts_v4(text: &[u8]) -> bool {
    let digits = text.iter().take(3).take_while(|b| b.is_ascii_digit()).count();
    text.len() > 3 && digits > 0 && text[digits] == b'.'
}

fn starts_v6(text: &[u8]) -> bool {
    let digits = text.iter().take(4).take_while(|b| b.is_ascii_hexdigit()).count();
    text.len() > 4 && text[digits] == b':' && (digits > 0 || (text[1] == b':' && text[2].is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("10.0.0.1", "from 10.0.0.1 to x", true),
            ("10.0.0.1", "from 10.0.0.12 to x", false),
            ("10.0.0.1-10.0.0.9", "10.0.0.5", true),
            ("10.0.0.0/8", "a=10.255.1.2;", true),
            ("10.0.0.0/8", "11.255.1.2", false),
            ("fe80::/10", "src=fe80::1:2 x", true),
            ("::1", "[::1]:80", true),
            ("0.0.0.0/0", "no address 1.2 here", false),
        ] {
            assert_eq!(
                IpPattern::parse(pattern).unwrap().is_in(text.as_bytes()),
                want,
                "{pattern} in {text}"
            );
        }
        for bad in ["abc", "", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "1.2.3", "::/129", "1.1.1.1-::1"] {
            assert_eq!(IpPattern::parse(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-f.:/ -]{0,40}") {
            if let Some(pattern) = IpPattern::parse(&text) {
                let _ = pattern.is_in(text.as_bytes());
            }
            let _ = IpPattern::parse("::/0").unwrap().is_in(text.as_bytes());
        }
    }
}
