//! Settings of client authentication that must fit each other.

use super::with;

#[test]
fn the_method_of_client_authentication_must_fit_what_the_client_has() {
    const SECRET: (&str, &str) = ("CODER_OIDC_CLIENT_SECRET", "no-more-than-a-few-bytes");
    const LONG: (&str, &str) = ("CODER_OIDC_CLIENT_SECRET", "more-than-thirty-two-bytes-of-a-secret");
    const PREVIOUS: (&str, &str) = ("CODER_OIDC_CLIENT_SECRET_PREVIOUS", "short");
    let method = |name| ("CODER_OIDC_CLIENT_AUTH_METHOD", name);
    for good in [
        &[method("auto")][..],
        &[method("none")],
        &[method("client_secret_basic"), SECRET],
        &[method("client_secret_post"), SECRET],
        &[method("client_secret_jwt"), LONG],
    ] {
        assert!(with(good).is_ok(), "{good:?}");
    }
    for (bad, message) in [
        (
            &[method("basic"), SECRET][..],
            "must be auto or one of client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, none",
        ),
        (&[method("client_secret_post")], "is client_secret_post, which needs CODER_OIDC_CLIENT_SECRET"),
        (&[method("none"), SECRET], "is none, and CODER_OIDC_CLIENT_SECRET is set; leave one out"),
        (
            &[method("client_secret_jwt"), SECRET],
            "is client_secret_jwt, for which CODER_OIDC_CLIENT_SECRET is too short: HS256 needs 32 bytes",
        ),
        (
            &[method("client_secret_jwt"), LONG, PREVIOUS],
            "is client_secret_jwt, for which CODER_OIDC_CLIENT_SECRET_PREVIOUS is too short: HS256 needs 32 bytes",
        ),
    ] {
        let problems = with(bad).unwrap_err().to_string();
        assert!(problems.contains(&format!("CODER_OIDC_CLIENT_AUTH_METHOD: {message}")), "{bad:?}: {problems}");
    }
}

#[test]
fn a_private_key_stands_instead_of_a_secret_and_entra_id_needs_its_certificate() {
    const KEY: (&str, &str) = ("CODER_OIDC_CLIENT_KEY_FILE", "/etc/coder/key.pem");
    const CERTIFICATE: (&str, &str) = ("CODER_OIDC_CLIENT_CERT_FILE", "/etc/coder/cert.pem");
    const SECRET: (&str, &str) = ("CODER_OIDC_CLIENT_SECRET", "secret");
    const ENTRA: (&str, &str) = ("CODER_OIDC_ISSUER_URL", "https://login.microsoftonline.com/0000/v2.0");
    let method = |name| ("CODER_OIDC_CLIENT_AUTH_METHOD", name);
    for good in
        [&[KEY][..], &[KEY, CERTIFICATE, ENTRA], &[KEY, ("CODER_OIDC_CLIENT_KEY_ID", "first")], &[KEY, method("private_key_jwt")]]
    {
        let settings = with(good).unwrap();
        assert_eq!(settings.provider.oidc.client_key.unwrap().key.to_str(), Some("/etc/coder/key.pem"));
    }
    for (bad, message) in [
        (&[KEY, SECRET][..], "CODER_OIDC_CLIENT_KEY_FILE: and CODER_OIDC_CLIENT_SECRET exclude each other; leave one out"),
        (&[CERTIFICATE, SECRET], "CODER_OIDC_CLIENT_CERT_FILE: needs CODER_OIDC_CLIENT_KEY_FILE"),
        (&[("CODER_OIDC_CLIENT_KEY_ID", "first")], "CODER_OIDC_CLIENT_KEY_ID: needs CODER_OIDC_CLIENT_KEY_FILE"),
        (&[KEY, ENTRA], "CODER_OIDC_CLIENT_KEY_FILE: needs CODER_OIDC_CLIENT_CERT_FILE at Microsoft Entra ID"),
        (&[SECRET, method("private_key_jwt")], "is private_key_jwt, which needs CODER_OIDC_CLIENT_KEY_FILE"),
        (&[KEY, method("client_secret_post")], "is client_secret_post, which needs CODER_OIDC_CLIENT_SECRET"),
        (&[KEY, method("none")], "is none, and CODER_OIDC_CLIENT_KEY_FILE is set; leave one out"),
    ] {
        let problems = with(bad).unwrap_err().to_string();
        assert!(problems.contains(message), "{bad:?}: {problems}");
    }
}
