//! The languages of Evergate's own pages.

use std::cmp::Reverse;

use http::{HeaderMap, HeaderValue, header};

/// Whether a character does something to a text instead of being seen in it: control characters, marks that change the writing direction
/// or break lines, and those that nobody sees. In somebody's name they could have it look like another's. Joiners (U+200C, U+200D) and variation
/// selectors are not among them: names in Persian and in Japanese need them.
pub fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A language that every text of a page has been written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// What is spoken where nothing is asked for that we speak.
    #[default]
    English,
    /// German.
    German,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// The language tag (RFC 5646), as `lang` and `Content-Language` name it.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language with this tag.
    pub fn tagged(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(tag))
    }

    /// What a client says of languages: `Accept-Language` in one line, however many it sent (RFC 9110 section 5.3).
    pub fn accepted(headers: &HeaderMap) -> Option<HeaderValue> {
        let mut lines = headers.get_all(header::ACCEPT_LANGUAGE).iter();
        let first = lines.next()?;
        let mut all = first.as_bytes().to_vec();
        for line in lines.take(MOST_RANGES) {
            all.extend_from_slice(b", ");
            all.extend_from_slice(line.as_bytes());
        }
        HeaderValue::from_bytes(&all).ok()
    }

    /// The language that a client prefers of ours, by `Accept-Language` (RFC 9110 section 12.5.4): each range counts by its primary
    /// subtag, so that `de-AT` gets German, and `*` for the languages that no other range names. Of ranges with the same weight the
    /// first one counts.
    pub fn preferred(accepted: Option<&HeaderValue>) -> Self {
        // A range that is no text is none of ours, and spoils no other.
        let accepted = accepted.map(|line| String::from_utf8_lossy(line.as_bytes())).unwrap_or_default();
        let ranges: Vec<_> = accepted.split(',').take(MOST_RANGES).filter_map(weighted).enumerate().collect();
        let best_of = |range: Option<Self>| {
            let named = ranges.iter().filter(|(_, (language, _))| *language == range);
            named.map(|(place, (_, weight))| (*weight, Reverse(*place))).max()
        };
        let judged = |language: Self| best_of(Some(language)).or_else(|| best_of(None)).filter(|(weight, _)| *weight > 0);
        // Of several that are liked as much, the first.
        let mut best = (None, Self::default());
        for language in Self::ALL {
            let judged = judged(language);
            if judged > best.0 {
                best = (judged, language);
            }
        }
        best.1
    }

    /// The value of `Content-Language`.
    pub const fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.tag())
    }
}

/// Browsers send a handful.
const MOST_RANGES: usize = 32;

/// A range of `Accept-Language` that names a language of ours, or any (`None`), with its weight in thousandths.
fn weighted(range: &str) -> Option<(Option<Language>, u32)> {
    let mut parts = range.split(';').map(str::trim);
    let primary = parts.next()?.split('-').next()?;
    let language = if primary == "*" { None } else { Some(Language::tagged(primary)?) };
    let weight = match parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))) {
        None => 1000,
        Some(text) => thousandths(text)?,
    };
    Some((language, weight))
}

/// A weight of RFC 9110 section 12.4.2: `0`, `1`, or with up to three digits behind a point.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<3}");
    if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    match whole {
        "0" => digits.parse().ok(),
        "1" if digits == "000" => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_in_a_name_is_told_from_what_names_are_made_of() {
        for hidden in ['\0', '\u{85}', '\u{ad}', '\u{202e}', '\u{2066}', '\u{3164}', '\u{ffa0}', '\u{fffb}', '\u{e0041}'] {
            assert!(is_control(hidden), "{hidden:?}");
        }
        for seen in [' ', 'é', '\u{301}', 'ㄱ', '한', '\u{200c}', '\u{200d}', '\u{fe0f}', '\u{e0100}', '😀'] {
            assert!(!is_control(seen), "{seen:?}");
        }
    }

    #[test]
    fn the_language_is_what_the_client_likes_best_of_ours() {
        let preferred = |line: &str| Language::preferred(HeaderValue::from_bytes(line.as_bytes()).ok().as_ref()).tag();
        for (line, tag) in [
            ("", "en"),
            ("de", "de"),
            ("DE-at, en;q=0.8", "de"),
            ("de-CH-1996", "de"),
            ("en-GB,en;q=0.9,de;q=0.8", "en"),
            ("fr-FR, fr;q=0.9, de;q=0.5, en;q=0.4", "de"),
            ("fr, *;q=0.5, de;q=0.1", "en"),
            ("de;q=0", "en"),
            ("de;q=0.000, en;q=0.001", "en"),
            ("de;q=0.5, en;q=0.5", "de"),
            ("de;q=2", "en"),
            ("de;q=0.1234", "en"),
            ("de;q=-1, den, deutsch", "en"),
            ("*", "en"),
            ("en;q=0, *", "de"),
            ("*, en;q=0", "de"),
            ("en;q=0.1, *", "de"),
            ("de;q=0, *;q=0.1", "en"),
            ("en;q=0, *;q=0", "en"),
            ("fr, *;q=0.5, en;q=0.1", "de"),
            ("de-DE;q=0.9,ä,*;q=0.5", "de"),
        ] {
            assert_eq!(preferred(line), tag, "{line}");
        }
        assert_eq!(Language::preferred(None), Language::English);
    }

    #[test]
    fn several_lines_count_as_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(Language::accepted(&headers), None);
        for line in ["fr", "en;q=0.4", "de;q=0.5"] {
            headers.append(header::ACCEPT_LANGUAGE, HeaderValue::from_static(line));
        }
        assert_eq!(Language::accepted(&headers).unwrap(), "fr, en;q=0.4, de;q=0.5");
        assert_eq!(Language::preferred(Language::accepted(&headers).as_ref()), Language::German);
    }
}
