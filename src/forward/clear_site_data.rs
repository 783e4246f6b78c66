//! `Clear-Site-Data` (W3C Clear Site Data) of an app's response. A browser deletes the cookies of the whole registrable domain for it,
//! those of Evergate among them, and the user would be logged out of every app.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// What `"*"` stands for, without the cookies.
const ALL_BUT_COOKIES: &str = r#""cache", "clientHints", "executionContexts", "prefetchCache", "prerenderCache", "storage""#;

/// Has a browser that is told to delete data keep its cookies.
pub(super) fn spare_cookies(headers: &mut HeaderMap) {
    if !headers.contains_key(CLEAR_SITE_DATA) {
        return;
    }
    let lines: Vec<String> = headers.get_all(CLEAR_SITE_DATA).iter().map(|line| without_cookies(line.as_bytes())).collect();
    headers.remove(CLEAR_SITE_DATA);
    for line in lines.iter().filter(|line| !line.is_empty()) {
        if let Ok(line) = HeaderValue::from_str(line) {
            headers.append(CLEAR_SITE_DATA, line);
        }
    }
}

fn without_cookies(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let kept = line.split(',').map(str::trim).filter(|kind| !kind.to_ascii_lowercase().contains("cookies"));
    let kept: Vec<&str> = kept.map(|kind| if kind.contains('*') { ALL_BUT_COOKIES } else { kind }).collect();
    kept.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_that_clears_its_site_data_clears_no_cookies() {
        for (said, left) in [
            (&[r#""cookies""#][..], &[][..]),
            (&[r#""cache", "cookies","storage""#], &[r#""cache", "storage""#]),
            (&[r#" "Cookies" "#, "cookies", r#""cache""#], &[r#""cache""#]),
            (&[r#""*""#], &[ALL_BUT_COOKIES]),
            (&["*"], &[ALL_BUT_COOKIES]),
            (&[r#""storage""#, r#""executionContexts""#], &[r#""storage""#, r#""executionContexts""#]),
        ] {
            let mut headers = HeaderMap::new();
            for line in said {
                headers.append(CLEAR_SITE_DATA, HeaderValue::from_static(line));
            }
            spare_cookies(&mut headers);
            let lines: Vec<_> = headers.get_all(CLEAR_SITE_DATA).iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(lines, left, "{said:?}");
        }
    }
}
