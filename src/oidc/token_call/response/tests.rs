use bytes::Bytes;
use serde_json::json;

use super::*;

fn answer(status: u16, body: &str) -> Result<TokenResponse, TokenFailure> {
    answer_of_bytes(status, body.as_bytes())
}

fn answer_of_bytes(status: u16, body: &[u8]) -> Result<TokenResponse, TokenFailure> {
    let answer = HttpResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body),
    };
    read(&answer, Timestamp(0), ["the-presented-token"].into_iter())
}

fn description(body: &str) -> Option<String> {
    let TokenFailure::Refused { description, .. } = answer(400, body).unwrap_err() else { panic!("{body} is no refusal") };
    description
}

#[test]
fn a_description_is_on_one_line_bounded_and_without_secrets() {
    let said = |text: &str| description(&json!({ "error": "invalid_request", "error_description": text }).to_string());
    assert_eq!(said("DPoP proof is missing").as_deref(), Some("DPoP proof is missing"));
    assert_eq!(said("a\r\n\u{1b}[2J  b").as_deref(), Some("a [2J b"));
    assert_eq!(said("token the-presented-token is spent").as_deref(), Some("token [secret] is spent"));
    assert_eq!(said(&format!("no session for {}", "aB3".repeat(20))).as_deref(), Some("no session for [masked]"));
    assert_eq!(said(&"long ".repeat(1000)).unwrap().chars().count(), 600);
    assert_eq!(said(" \n "), None);
    assert_eq!(description(r#"{"error":"x"}"#), None);
    assert_eq!(description(r#"{"error":"x","error_description":7}"#), None);
}

fn code(status: u16, body: &str) -> Option<String> {
    let TokenFailure::Refused { code, .. } = answer(status, body).unwrap_err() else { panic!("{status} {body} is no refusal") };
    code
}

#[test]
fn the_life_of_a_token_is_always_sensible() {
    for absurd in [json!(0), json!(-1), json!("x"), json!(null), json!([3600]), json!("NaN"), json!("-1")] {
        assert_eq!(seconds(Some(&absurd)), None, "{absurd}");
    }
    assert_eq!(seconds(None), None);
    assert_eq!(seconds(Some(&json!(30))), Some(Duration::from_secs(30)));
    assert_eq!(seconds(Some(&json!("3600"))), Some(Duration::from_secs(3600)));
    assert_eq!(seconds(Some(&json!(1e300))), Some(Duration::from_secs(365 * 86_400)));
    assert_eq!(seconds(Some(&json!("inf"))), Some(Duration::from_secs(365 * 86_400)));
}

#[test]
fn an_access_token_of_absurd_life_is_renewed_after_the_default_one() {
    const DAY: u64 = 86_400;
    for (said, expected) in [
        (json!(30 * DAY), Duration::from_secs(30 * DAY)),
        (json!(90 * DAY), LONGEST_LIFETIME),
        (json!(90 * DAY + 1), DEFAULT_LIFETIME),
        (json!(365 * DAY), DEFAULT_LIFETIME),
        (json!(1e300), DEFAULT_LIFETIME),
        (json!("inf"), DEFAULT_LIFETIME),
        (json!(0), DEFAULT_LIFETIME),
        (json!(null), DEFAULT_LIFETIME),
    ] {
        let body = json!({"access_token": "a", "expires_in": said, "refresh_expires_in": said}).to_string();
        assert_eq!(answer(200, &body).unwrap().expires_in, expected, "{said}");
    }
    let unlimited = answer(200, r#"{"access_token":"a","refresh_expires_in":1e300}"#).unwrap();
    assert_eq!(unlimited.refresh_expires_in, Some(Duration::from_secs(365 * DAY)), "a refresh token may live long");
}

#[test]
fn an_error_member_decides_whatever_the_status() {
    assert_eq!(code(400, r#"{"error":"invalid_grant"}"#).as_deref(), Some("invalid_grant"));
    assert_eq!(code(200, r#"{"error":"bad_refresh_token"}"#).as_deref(), Some("bad_refresh_token"));
    assert_eq!(code(200, r#"{"access_token":"a","error":"x"}"#).as_deref(), Some("x"));
    assert_eq!(code(503, "<html>").as_deref(), None);
    assert_eq!(code(302, "").as_deref(), None);
    assert_eq!(code(400, "{\"error\":\"a\\nb\\u0000\"}").as_deref(), Some("ab"));
}

#[test]
fn an_error_that_is_no_text_beside_tokens_is_no_success() {
    for error in [json!({"code": "x"}), json!(true), json!(["x"]), json!(7)] {
        let body = json!({"access_token": "a", "error": error}).to_string();
        assert!(matches!(answer(200, &body), Err(TokenFailure::Unusable(_))), "{body}");
        assert_eq!(code(400, &body), None, "{body}");
    }
    for none in [json!(null), json!(""), json!(false), json!(0), json!([]), json!({})] {
        let body = json!({"access_token": "a", "error": none}).to_string();
        assert!(answer(200, &body).is_ok(), "{body}");
    }
}

#[test]
fn a_refresh_token_that_is_no_text_passes_for_none_nowhere() {
    let answer = |token: Value| answer(200, &json!({"access_token": "a", "refresh_token": token}).to_string());
    for odd in [json!(7), json!({"token": "r"}), json!(["r"]), json!(true)] {
        assert!(matches!(answer(odd.clone()), Err(TokenFailure::Unusable(_))), "the one before is spent: {odd}");
    }
    for none in [json!(null), json!(""), json!(false)] {
        assert!(answer(none.clone()).unwrap().refresh_token.is_none(), "{none}");
    }
}

#[test]
fn the_life_of_a_refresh_token_is_read_under_either_name() {
    let life = |members: Value| {
        let mut body = json!({"access_token": "a"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        answer(200, &body.to_string()).unwrap().refresh_expires_in.map(|life| life.as_secs())
    };
    assert_eq!(life(json!({"refresh_expires_in": 60, "refresh_token_expires_in": 90})), Some(60));
    assert_eq!(life(json!({"refresh_expires_in": null, "refresh_token_expires_in": 90})), Some(90));
    assert_eq!(life(json!({"refresh_expires_in": 0, "refresh_token_expires_in": 90})), None, "Keycloak's, which has no end");
}

#[test]
fn a_success_without_usable_tokens_is_told_from_one_with() {
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"access_token":""}"#,
        r#"{"access_token":"a","token_type":"DPoP"}"#,
        r#"{"access_token":"a b"}"#,
    ] {
        assert!(matches!(answer(200, body), Err(TokenFailure::Unusable(_))), "{body}");
    }
    for kind in ["bearer", "BEARER", "Bearer"] {
        let body =
            json!({"access_token": "a", "token_type": kind, "refresh_token": "r", "expires_in": 30, "extra": {}}).to_string();
        let answer = answer(200, &body).unwrap();
        assert_eq!(answer.refresh_token.unwrap().expose(), "r");
        assert!(answer.id_token.is_none());
    }
    assert!(answer(200, r#"{"access_token":"a"}"#).is_ok());
}

#[test]
fn what_is_wrong_with_a_member_that_nobody_reads_costs_no_token() {
    let by_name = answer(200, r#"{"\ud83d":1,"access_token":"a","refresh_token":"r"}"#).unwrap();
    assert_eq!(by_name.refresh_token.unwrap().expose(), "r");
    let deep = [b"[".repeat(400), b"]".repeat(400)].concat();
    for odd in [&br#""Ann \ud83d""#[..], b"\"M\xfcller\"", b"1e999", &deep] {
        let before = [br#"{"name":"#, odd, br#","access_token":"a","refresh_token":"r","expires_in":30}"#].concat();
        let after = [br#"{"access_token":"a","refresh_token":"r","expires_in":30,"name":"#, odd, b"}"].concat();
        for body in [before, after] {
            let tokens = answer_of_bytes(200, &body).unwrap();
            assert_eq!((tokens.refresh_token.unwrap().expose(), tokens.expires_in.as_secs()), ("r", 30));
        }
        let refused = [br#"{"error":"invalid_grant","name":"#, odd, b"}"].concat();
        assert_eq!(code(400, &String::from_utf8_lossy(&refused)).as_deref(), Some("invalid_grant"));
    }
    for wrong in [
        &b"{\"access_token\":\"a\",\"refresh_token\":\"r\xff\"}"[..],
        b"{\"access_token\":\"a\xff\"}",
        b"{\"access_token\":",
        br#"{"access_token":"a","refresh_token":"r\ud83d"}"#,
        br#"{"access_token":"a","id_token":"\ud83d"}"#,
    ] {
        assert!(matches!(answer_of_bytes(200, wrong), Err(TokenFailure::Unusable(_))), "another token must not be kept");
    }
}

#[test]
fn retry_after_is_read_in_both_forms_and_bounded() {
    let headers = |retry: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry.parse().unwrap());
        headers.insert(header::DATE, "Mon, 23 Nov 2026 10:00:00 GMT".parse().unwrap());
        headers
    };
    assert_eq!(retry_after(&headers("120")), Some(Duration::from_secs(120)));
    assert_eq!(retry_after(&headers("Mon, 23 Nov 2026 10:00:30 GMT")), Some(Duration::from_secs(30)));
    for passed in ["Mon, 23 Nov 2026 09:00:00 GMT", "0"] {
        assert_eq!(retry_after(&headers(passed)), None, "{passed} is no time at all");
    }
    assert_eq!(retry_after(&headers("99999999")), Some(MAX_RETRY_AFTER));
    assert_eq!(retry_after(&headers("soon")), None);
}

#[test]
fn envoy_s_own_503_may_hide_an_answer_and_one_that_it_passes_on_does_not() {
    for (status, server, timed, expected) in [
        (503, "envoy", false, true),
        (503, "istio-envoy", false, true),
        (503, "istio-envoy", true, false),
        (503, "nginx", false, false),
        (404, "envoy", false, false),
    ] {
        let mut headers = HeaderMap::from_iter([(header::SERVER, server.parse().unwrap())]);
        if timed {
            headers.insert("x-envoy-upstream-service-time", "3".parse().unwrap());
        }
        let response = HttpResponse { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::new() };
        let TokenFailure::Refused { may_hide_an_answer, .. } = refusal(&response, [].into_iter()) else { panic!("no refusal") };
        assert_eq!(may_hide_an_answer, expected, "{status} {server} {timed}");
    }
}
