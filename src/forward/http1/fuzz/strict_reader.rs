//! A strict reader of the heads of a response, to compare with: it has the whole input, keeps no state, and takes nothing that RFC
//! 9112 does not have.

/// The heads of a response, up to the final one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heads {
    pub(super) statuses: Vec<u16>,
    /// The fields of the final head, in lower case, by name and then as they come.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) follows: Follows,
    /// So many bytes come after the heads.
    pub(super) left: usize,
}

/// What follows the final head (RFC 9112 section 6.3).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    Bytes(u64),
    Chunks,
    UntilClose,
    AnotherProtocol,
}

/// Why the reader takes no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is less than a head.
    Incomplete,
    /// It is not the grammar's.
    Malformed,
    /// Its body could end in more than one way, or in none that is known.
    Ambiguous,
    /// There are more fields than [`MAX_FIELDS`](super::super::limits::MAX_FIELDS).
    TooManyFields,
    /// A line ends with LF alone.
    BareLineFeed,
    /// An empty line comes before the status line.
    EmptyLine,
    /// The status is followed by neither a space nor a reason.
    NoSpace,
    /// The status is in none of the five classes.
    UnknownClass,
    /// The length is said more than once, each time the same.
    RepeatedLength,
}

impl Refused {
    /// Whether a lenient reader may take such a head, and why.
    pub(super) fn may_be_taken(self) -> Option<&'static str> {
        match self {
            Self::BareLineFeed => Some("RFC 9112 section 2.2: a recipient may recognise a single LF as a line terminator"),
            Self::EmptyLine => {
                Some("section 2.2 asks it of servers; clients of sloppy servers do the same, and no body comes of it")
            }
            Self::NoSpace => Some("many servers leave the space out, and it says nothing"),
            Self::UnknownClass => Some("RFC 9110 section 15: a status that is not known is passed on as it is"),
            Self::RepeatedLength => Some("RFC 9112 section 6.3: the same length may be taken once"),
            Self::Incomplete | Self::Malformed | Self::Ambiguous | Self::TooManyFields => None,
        }
    }
}

/// Reads heads until the final one. `most` is the largest number of fields of each.
pub(super) fn read(mut input: &[u8], most: usize) -> Result<Heads, Refused> {
    let mut statuses = Vec::new();
    loop {
        let end = input.windows(4).position(|four| four == b"\r\n\r\n");
        let head = &input[..end.unwrap_or(input.len())];
        if head.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r')) {
            return Err(Refused::BareLineFeed);
        }
        if head.starts_with(b"\r\n") || (end == Some(0)) {
            return Err(Refused::EmptyLine);
        }
        input = &input[end.ok_or(Refused::Incomplete)? + 4..];
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.split("\r\n");
        let (is_http11, status) = status_line(lines.next().unwrap_or_default())?;
        let mut fields = lines.map(field_line).collect::<Result<Vec<_>, _>>()?;
        if fields.len() > most {
            return Err(Refused::TooManyFields);
        }
        statuses.push(status);
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let follows = follows(is_http11, status, &fields)?;
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        return Ok(Heads { statuses, fields, follows, left: input.len() });
    }
}

/// `HTTP/1.1 200 OK`.
fn status_line(line: &str) -> Result<(bool, u16), Refused> {
    let (version, rest) = line.split_once(' ').ok_or(Refused::Malformed)?;
    let is_http11 = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(Refused::Malformed),
    };
    let (code, reason) = rest.split_once(' ').map_or((rest, None), |(code, reason)| (code, Some(reason)));
    if code.len() != 3 || !code.bytes().all(|digit| digit.is_ascii_digit()) || code.starts_with('0') {
        return Err(Refused::Malformed);
    }
    if !reason.unwrap_or_default().chars().all(is_text) {
        return Err(Refused::Malformed);
    }
    match (reason, code.parse().unwrap()) {
        (None, _) => Err(Refused::NoSpace),
        (Some(_), 600..) => Err(Refused::UnknownClass),
        (Some(_), status) => Ok((is_http11, status)),
    }
}

/// `Name: value`.
fn field_line(line: &str) -> Result<(String, Vec<u8>), Refused> {
    let (name, value) = line.split_once(':').ok_or(Refused::Malformed)?;
    let is_token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    if name.is_empty() || !name.chars().all(is_token) || !value.chars().all(is_text) {
        return Err(Refused::Malformed);
    }
    let value = value.trim_matches([' ', '\t']);
    Ok((name.to_ascii_lowercase(), value.chars().map(|letter| u8::try_from(letter).unwrap()).collect()))
}

/// Whether it is a tab, a space, a visible character or a byte beyond ASCII.
fn is_text(letter: char) -> bool {
    letter == '\t' || (letter >= ' ' && letter != '\u{7f}')
}

fn follows(is_http11: bool, status: u16, fields: &[(String, Vec<u8>)]) -> Result<Follows, Refused> {
    let all = |name: &str| fields.iter().filter(|field| field.0 == name).map(|field| field.1.as_slice()).collect::<Vec<_>>();
    let (codings, lengths) = (all("transfer-encoding"), all("content-length"));
    let length = match lengths.as_slice() {
        [] => None,
        [first, others @ ..] => {
            let text = std::str::from_utf8(first).map_err(|_| Refused::Ambiguous)?;
            let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
            if !is_number || others.iter().any(|other| other != first) {
                return Err(Refused::Ambiguous);
            }
            Some(text.parse().map_err(|_| Refused::Ambiguous)?)
        }
    };
    let is_chunked = match codings.as_slice() {
        [] => false,
        [coding] if is_http11 && length.is_none() && coding.eq_ignore_ascii_case(b"chunked") => true,
        _ => return Err(Refused::Ambiguous),
    };
    if lengths.len() > 1 {
        return Err(Refused::RepeatedLength);
    }
    Ok(match (status, length) {
        (101, _) => Follows::AnotherProtocol,
        (204 | 304, _) => Follows::Nothing,
        _ if is_chunked => Follows::Chunks,
        (_, Some(0)) => Follows::Nothing,
        (_, Some(length)) => Follows::Bytes(length),
        (_, None) => Follows::UntilClose,
    })
}
