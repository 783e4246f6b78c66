//! Settings of the listener for apps' jobs.

use super::with;

const SECRET: (&str, &str) = ("CODER_APP_TOKEN_SECRET", "0123456789abcdef0123456789abcdef");
const LOOPBACK: (&str, &str) = ("CODER_APP_TOKEN_ADDRESS", "127.0.0.1:3001");
const ASSERTION: (&str, &str) = ("CODER_IDENTITY_ASSERTION", "true");
const ALL: (&str, &str) = ("CODER_APP_TOKENS", "true");

fn problems(more: &[(&str, &str)]) -> String {
    with(more).map(drop).map_err(|problems| problems.to_string()).unwrap_err()
}

#[test]
fn nobody_asks_unless_an_address_is_set() {
    assert!(with(&[]).unwrap().app_tokens.is_none());
    let unused = with(&[ASSERTION, ALL, ("CODER_APP_TOKEN_BY_USER", "true")]).unwrap();
    assert!(unused.app_tokens.is_none());
    for name in ["CODER_APP_TOKENS", "CODER_APP_TOKEN_BY_USER"] {
        assert!(unused.warnings.iter().any(|warning| warning.key == name), "{name}: {:?}", unused.warnings);
    }
    let used = with(&[ASSERTION, ALL, SECRET, LOOPBACK]).unwrap();
    assert_eq!(used.app_tokens.unwrap().listen.to_string(), "127.0.0.1:3001");
    let socket = with(&[ASSERTION, ALL, ("CODER_APP_TOKEN_ADDRESS", "unix:/run/evergate/token.sock")]).unwrap();
    assert!(socket.app_tokens.unwrap().secret.is_none());
}

#[test]
fn what_would_give_tokens_to_others_or_to_nobody_is_a_problem() {
    for (settings, key, said) in [
        (&[ASSERTION, ALL, SECRET, ("CODER_APP_TOKEN_ADDRESS", "0.0.0.0:3001")][..], "CODER_APP_TOKEN_ADDRESS", "on loopback"),
        (&[ASSERTION, ALL, SECRET, ("CODER_APP_TOKEN_ADDRESS", "unix:token.sock")], "CODER_APP_TOKEN_ADDRESS", "unix:/run"),
        (&[ASSERTION, ALL, LOOPBACK], "CODER_APP_TOKEN_SECRET", "is required"),
        (&[ASSERTION, ALL, LOOPBACK, ("CODER_APP_TOKEN_SECRET", "short")], "CODER_APP_TOKEN_SECRET", "32 characters"),
        (&[ALL, SECRET, LOOPBACK], "CODER_APP_TOKEN_ADDRESS", "nobody may ask"),
        (&[ASSERTION, SECRET, LOOPBACK], "CODER_APP_TOKEN_ADDRESS", "nobody may ask"),
        (
            &[ASSERTION, ALL, SECRET, LOOPBACK, ("CODER_APP_TOKEN_SOCKET_MODE", "rw-rw----")],
            "CODER_APP_TOKEN_SOCKET_MODE",
            "octal",
        ),
    ] {
        let text = problems(settings);
        assert!(text.contains(key) && text.contains(said), "{settings:?}: {text}");
        assert!(!text.contains("short"), "{text}");
    }
    assert!(with(&[SECRET, LOOPBACK, ("CODER_APP_TOKEN_BY_USER", "true")]).is_ok(), "by user no route need be allowed");
}

#[test]
fn a_route_has_its_own_say_and_needs_assertions() {
    let routes = "[[route]]\npath = \"/a\"\nassertion = true\napp_tokens = true\n\
                  [[route]]\npath = \"/b\"\nassertion = true\n\
                  [[route]]\npath = \"/c\"\nassertion = true\napp_tokens = false\n";
    let allowed = |more: &[(&str, &str)], routes: &str| {
        let (_file, path) = super::file(routes);
        let settings = [&[SECRET, LOOPBACK, ("CODER_CONFIG_PATH", path.as_str())], more].concat();
        with(&settings).map(|checked| {
            let routes = checked.gateway.routes.iter();
            routes.filter(|route| route.app_tokens).map(|route| route.prefix.clone()).collect::<Vec<_>>()
        })
    };
    assert_eq!(allowed(&[], routes).unwrap(), ["/a"]);
    assert_eq!(allowed(&[ALL], routes).unwrap(), ["/a", "/b"], "the route of CODER_UPSTREAM_URL sends no assertions");
    let text = allowed(&[], "[[route]]\npath = \"/a\"\napp_tokens = true\n").unwrap_err().to_string();
    assert!(text.contains("route[1].app_tokens") && text.contains("needs assertion"), "{text}");
}
