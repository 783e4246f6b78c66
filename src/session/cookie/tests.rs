use std::collections::BTreeSet;

use super::*;

fn headers(lines: &[&str]) -> HeaderMap {
    lines.iter().map(|line| (header::COOKIE, line.parse().unwrap())).collect()
}

fn plain() -> Cookies {
    Cookies::new(false, DEFAULT_NAME)
}

fn stripped(lines: &[&str]) -> Vec<String> {
    let mut headers = headers(lines);
    plain().strip_reserved_cookies(&mut headers);
    headers.get_all(header::COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

#[test]
fn our_cookies_never_reach_the_upstream_in_any_spelling() {
    assert_eq!(stripped(&["a=1; b=2"]), ["a=1; b=2"]);
    assert_eq!(stripped(&["a=1; evergate_session=x; b=2"]), ["a=1; b=2"]);
    assert_eq!(stripped(&["__Host-evergate_session=x"]), [""; 0]);
    assert_eq!(stripped(&["__host-EVERGATE_login_1=x;a=1"]), ["a=1"]);
    assert_eq!(stripped(&["a=1", "evergate_session=x", "b=2"]), ["a=1; b=2"]);
    assert_eq!(stripped(&["a=evergate_session; my_evergate_x=1"]), ["a=evergate_session; my_evergate_x=1"]);
}

#[test]
fn odd_cookie_headers_are_read_without_harm() {
    for odd in ["", ";;", "=", "=x", "evergate_session", "; evergate_session ;", "a=1;;;evergate_session="] {
        let headers = headers(&[odd]);
        assert!(plain().session_value(&headers).is_none_or(str::is_empty), "{odd:?}");
        stripped(&[odd]);
    }
}

#[test]
fn two_different_session_cookies_are_none() {
    let (a, b) = ("a".repeat(43), "b".repeat(43));
    let value = |line: String| plain().session_value(&headers(&[&line])).map(str::to_owned);
    assert_eq!(value(format!("evergate_session={a}")), Some(a.clone()));
    assert_eq!(value(format!("evergate_session={a}; evergate_session={a}")), Some(a.clone()));
    assert_eq!(value(format!("evergate_session={a}; evergate_session={b}")), None);
    assert_eq!(value(format!("evergate_session={a}; evergate_session={a}; evergate_session={b}")), None);
    assert_eq!(value("evergate_session=short".to_owned()), None);
    let plain = headers(&[&format!("evergate_session={a}")]);
    assert_eq!(Cookies::new(true, DEFAULT_NAME).session_value(&plain), None, "without its prefix it is not ours");
}

#[test]
fn a_cookie_in_another_script_neither_hides_ours_nor_passes_for_it() {
    let a = "a".repeat(43);
    let line = |bytes: Vec<u8>| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_bytes(&bytes).unwrap())]);
    let beside = line(format!("name=Zoë; evergate_session={a}; \u{e9}=x").into_bytes());
    assert_eq!(plain().session_value(&beside), Some(a.as_str()));
    let latin = line([b"x=\xe9; evergate_session=", a.as_bytes()].concat());
    assert_eq!(plain().session_value(&latin), Some(a.as_str()));
    let planted = line(format!("\u{2000}evergate_session={a}").into_bytes());
    assert_eq!(plain().session_value(&planted), None);
}

#[test]
fn an_upstream_cannot_set_cookies_of_ours() {
    let mut headers = HeaderMap::new();
    for line in ["a=1; Path=/", "evergate_session=x; Path=/", "__Host-evergate_login_1=x", "b=evergate_session"] {
        headers.append(header::SET_COOKIE, line.parse().unwrap());
    }
    plain().strip_reserved_set_cookies(&mut headers);
    let left: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(left, ["a=1; Path=/", "b=evergate_session"]);
}

#[test]
fn cookies_carry_every_protection_that_the_scheme_allows() {
    let set = |cookies: Cookies| cookies.set(cookies.session(), "v", Duration::from_secs(9)).unwrap();
    assert_eq!(
        set(Cookies::new(true, DEFAULT_NAME)),
        "__Host-evergate_session=v; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=9"
    );
    assert_eq!(set(plain()), "evergate_session=v; HttpOnly; SameSite=Lax; Path=/; Max-Age=9");
    assert_eq!(
        Cookies::new(true, DEFAULT_NAME).clear("__Host-evergate_session").unwrap(),
        "__Host-evergate_session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"
    );
}

#[test]
fn an_embedded_session_has_a_jar_and_a_name_of_its_own_and_outlives_a_change_of_the_setting() {
    let (lax, embedded) =
        (Cookies::new(true, DEFAULT_NAME), Cookies::new(true, DEFAULT_NAME).sent_in(EmbeddingContext::Embedded));
    assert_eq!(
        embedded.set(embedded.session(), "v", Duration::from_secs(9)).unwrap(),
        "__Host-evergate_partitioned_session=v; HttpOnly; SameSite=None; Partitioned; Secure; Path=/; Max-Age=9"
    );
    let (a, b) = ("a".repeat(43), "b".repeat(43));
    let (one, other) = (format!("__Host-evergate_session={a}"), format!("__Host-evergate_partitioned_session={b}"));
    for (line, by_lax, by_embedded) in [(one.clone(), &a, &a), (other.clone(), &b, &b), (format!("{one}; {other}"), &a, &b)] {
        assert_eq!(lax.session_value(&headers(&[&line])), Some(by_lax.as_str()), "{line}");
        assert_eq!(embedded.session_value(&headers(&[&line])), Some(by_embedded.as_str()), "{line}");
    }
    for cookies in [lax, embedded] {
        let cleared: Vec<_> = cookies.clear_sessions().collect();
        assert_eq!(
            cleared,
            [
                "__Host-evergate_session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0",
                "__Host-evergate_partitioned_session=; HttpOnly; SameSite=None; Partitioned; Secure; Path=/; Max-Age=0"
            ]
        );
    }
    assert_eq!(plain().clear_sessions().count(), 1, "over plain http there is no partitioned cookie");
}

#[test]
fn two_of_us_on_one_host_have_cookies_of_their_own() {
    let (one, other) = (Cookies::new(true, "one"), Cookies::new(true, "other"));
    assert_eq!((one.session(), other.session()), ("__Host-one_session", "__Host-other_session"));
    let mut lines = headers(&["one_session=a; other_session=b; __Host-one_login_7=c; evergate_session=d; ones=e"]);
    one.strip_reserved_cookies(&mut lines);
    assert_eq!(lines[header::COOKIE], "other_session=b; ones=e");
}

#[test]
fn a_session_goes_on_under_the_name_that_its_cookie_had_before() {
    let cookies = Cookies::new(true, "second").formerly(&["first".into(), "second".into()]);
    let value = |letter: &str| letter.repeat(43);
    let of = |line: String| cookies.session_value(&headers(&[&line])).map(str::to_owned);
    assert_eq!(of(format!("__Host-first_session={}", value("a"))), Some(value("a")));
    assert_eq!(of(format!("__Host-first_partitioned_session={}", value("a"))), Some(value("a")));
    assert_eq!(of(format!("__Host-first_session={}; __Host-second_session={}", value("a"), value("b"))), Some(value("b")));
    assert_eq!(of(format!("first_session={}", value("a"))), None, "without its prefix it is not ours");
    assert_eq!(of(format!("__Host-third_session={}", value("a"))), None);
    let planted = format!("__Host-first_session={0}; __Host-first_session={1}", value("a"), value("b"));
    assert_eq!(of(planted), None);
    let mut lines = headers(&["first_session=a; __Host-first_login_7=c; second_x=d; evergate_session=e; firsts=f"]);
    cookies.strip_reserved_cookies(&mut lines);
    assert_eq!(lines[header::COOKIE], "firsts=f");
    let sent = headers(&[&format!("__Host-first_session={}", value("a"))]);
    let set = cookies.set_session("v", Duration::from_secs(9), &sent).unwrap();
    assert_eq!((set.len(), cookies.clear_sessions().count()), (1, 2), "which another gateway on the host may have by now");
}

#[test]
fn all_of_ours_together_stay_under_four_kibibytes() {
    let cookies = Cookies::new(true, &"n".repeat(MAX_NAME_LEN));
    let names: BTreeSet<_> = (0..=u8::MAX).map(|chance| cookies.binding(chance)).collect();
    let [session, partitioned] = cookies.sessions();
    let others = [session, partitioned, cookies.silent_login(), cookies.redirect_rounds(), cookies.auto_retries()];
    let length = |name: &str, value: usize| name.len() + "=; ".len() + value;
    let bindings: usize = names.iter().map(|name| length(name, 16)).sum();
    assert!(bindings + others.map(|name| length(name, 43)).iter().sum::<usize>() <= 4096);
}

#[test]
fn a_planted_cookie_of_one_name_does_not_lead_to_one_of_the_other() {
    let of = |cookies: &Cookies, values: &[(&str, char)]| {
        let line: Vec<_> = values.iter().map(|(name, letter)| format!("{name}={}", letter.to_string().repeat(43))).collect();
        let headers = HeaderMap::from_iter([(header::COOKIE, line.join("; ").parse().unwrap())]);
        cookies.session_value(&headers).and_then(|value| value.chars().next())
    };
    let (plain, partitioned) = ("evergate_session", "evergate_partitioned_session");
    let http = Cookies::new(false, "evergate");
    assert_eq!(of(&http, &[(partitioned, 'e')]), None, "no browser has one over plain http");
    for cookies in [http.clone().always_secure(), http.always_secure().sent_in(EmbeddingContext::Embedded)] {
        assert_eq!(of(&cookies, &[(plain, 'a'), (plain, 'a')]), Some('a'));
        assert!(of(&cookies, &[(plain, 'a'), (partitioned, 'b')]).is_some());
        assert_eq!(of(&cookies, &[(plain, 'a'), (plain, 'x'), (partitioned, 'e')]), None);
        assert_eq!(of(&cookies, &[(partitioned, 'a'), (partitioned, 'x'), (plain, 'e')]), None);
    }
}

#[test]
fn a_request_presents_each_of_its_sessions_that_which_is_served_first() {
    let cookies = Cookies::new(true, "second").formerly(&["first".into()]);
    let value = |letter: char| letter.to_string().repeat(43);
    let presented = |named: &[(&str, char)]| {
        let line: Vec<_> = named.iter().map(|(name, letter)| format!("{name}={}", value(*letter))).collect();
        let expected = |letters: &str| letters.chars().map(|letter| SessionHash::of(&value(letter))).collect::<Vec<_>>();
        (cookies.presented_sessions(&headers(&[&line.join("; ")])), expected)
    };
    for (named, letters) in [
        (&[][..], ""),
        (&[("__Host-third_session", 'a')], ""),
        (&[("__Host-first_session", 'a'), ("__Host-second_session", 'b')], "ba"),
        (&[("__Host-second_session", 'a'), ("__Host-first_partitioned_session", 'a')], "a"),
        (&[("__Host-second_session", 'a'), ("__Host-second_session", 'b'), ("__Host-first_session", 'c')], "abc"),
    ] {
        let (found, expected) = presented(named);
        assert_eq!(found, expected(letters), "{named:?}");
    }
    let planted: Vec<_> = ('a'..='z').map(|letter| ("__Host-second_session", letter)).collect();
    assert_eq!(presented(&planted).0.len(), MAX_SESSIONS, "each costs a look-up");
}

#[test]
fn of_a_former_name_the_cookie_of_a_session_goes_that_was_ours_and_no_other() {
    let cookies = Cookies::new(true, "second").formerly(&["first".into()]);
    let (ours, theirs) = ("a".repeat(43), "b".repeat(43));
    let request = headers(&[&format!("__Host-first_session={ours}; __Host-first_partitioned_session={theirs}")]);
    let cleared = cookies.clear_former(&request, &[SessionHash::of(&ours)]);
    assert_eq!(cleared, ["__Host-first_session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"]);
    assert!(cookies.clear_former(&request, &[]).is_empty());
}

#[test]
fn a_login_is_bound_by_a_cookie_of_a_former_name_too_and_none_of_that_is_set() {
    let cookies = Cookies::new(true, "second").formerly(&["first".into()]);
    let request = headers(&["__Host-first_login_3=a; __Host-second_login_4=b; __Host-third_login_5=c; __Host-first_login_x=d"]);
    assert_eq!(cookies.accepted_bindings(&request).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(cookies.bindings(&request).collect::<Vec<_>>(), [("__Host-second_login_4", "b")]);
}
