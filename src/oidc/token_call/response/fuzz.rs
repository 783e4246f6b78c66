//! The fuzz target of token responses.

use bytes::Bytes;
use http::HeaderValue;

use super::*;
use crate::fuzz::run;

const PRESENTED: &str = "the-presented-token";

/// A token response is read, or refused with nothing in the log that could harm it; and what was read is printed and read as the same.
#[test]
fn token_response() {
    let words = [
        r#""error":"invalid_grant""#,
        r#""error_description":"#,
        PRESENTED,
        r#""expires_in":"#,
        r#""token_type":"DPoP""#,
        "\\u001b",
    ];
    run("token_response", &words, |data| {
        let (first, body) = data.split_first().unwrap_or((&0, &[]));
        let status = [200, 400, 401, 429, 500, 503][usize::from(*first) % 6];
        let response = |body: &[u8]| HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("7"))]),
            body: Bytes::copy_from_slice(body),
        };
        let answered = |body: &[u8]| read(&response(body), Timestamp(0), [PRESENTED].into_iter());
        match answered(body) {
            Ok(tokens) => {
                assert!(tokens.expires_in.as_secs() >= 1 && tokens.expires_in.as_secs() <= 365 * 86_400);
                assert!(tokens.access_token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
                let again = answered(printed(&tokens).to_string().as_bytes()).unwrap();
                assert_eq!(printed(&again), printed(&tokens));
            }
            Err(TokenFailure::Refused { code, description, .. }) => {
                assert!(code.is_none_or(|code| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_graphic())));
                let is_fit =
                    |said: String| said.chars().count() <= 600 && !said.contains(char::is_control) && !said.contains(PRESENTED);
                assert!(description.is_none_or(is_fit));
            }
            Err(_) => {}
        }
    });
}

fn printed(tokens: &TokenResponse) -> Value {
    let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    serde_json::json!({
        "access_token": tokens.access_token.expose(), "refresh_token": text(&tokens.refresh_token), "id_token": text(&tokens.id_token),
        "expires_in": tokens.expires_in.as_secs_f64(), "scope": tokens.scope,
        "refresh_expires_in": tokens.refresh_expires_in.map(|life| life.as_secs_f64()),
    })
}
