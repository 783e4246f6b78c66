//! Secrets: kept to the letter, and never shown.

use evergate::config::{Problems, print};

use super::{WHOLE, checked, environment, file, with};

#[test]
fn a_secret_is_kept_to_the_letter_from_wherever_it_comes() {
    for secret in ["0042", "true", "[x", "\"q\"", "1e5", " blank ", "a,b", "{}"] {
        let settings = with(&[("CODER_OIDC_CLIENT_SECRET", secret)]).unwrap();
        assert_eq!(settings.provider.oidc.client_secret.unwrap().expose(), secret);
        let (_file, path) = file(&format!("{secret}\n"));
        let settings = with(&[("CODER_OIDC_CLIENT_SECRET_FILE", &path)]).unwrap();
        assert_eq!(settings.provider.oidc.client_secret.unwrap().expose(), secret);
    }
    let said =
        with(&[("CODER_OIDC_CLIENT_SECRET_FILE", "/nowhere"), ("CODER_OIDC_CLIENT_SECRET", "hunter2")]).unwrap_err().to_string();
    assert!(
        said.contains("CODER_OIDC_CLIENT_SECRET_FILE: is set together with CODER_OIDC_CLIENT_SECRET")
            && !said.contains("hunter2"),
        "{said}"
    );
    assert!(
        with(&[("CODER_OIDC_CLIENT_SECRET_FILE", "/nowhere")])
            .unwrap_err()
            .to_string()
            .contains("the file /nowhere cannot be read")
    );
}

#[test]
fn a_secret_that_cannot_be_had_is_a_problem_and_never_makes_a_client_a_public_one() {
    for (given, said) in [("", "holds nothing"), ("\n\n", "holds nothing"), ("\u{feff}\n", "holds nothing")] {
        let (_file, path) = file(given);
        let problems = with(&[("CODER_OIDC_CLIENT_SECRET_FILE", &path)]).unwrap_err().to_string();
        assert!(problems.contains(&format!("CODER_OIDC_CLIENT_SECRET_FILE: {said}")), "{problems}");
    }
    assert!(
        with(&[("CODER_OIDC_CLIENT_SECRET", " ")]).unwrap_err().to_string().contains("CODER_OIDC_CLIENT_SECRET: holds nothing")
    );
    let (_file, path) = file("oidc_client_secret = 1.5\noidc_client_secret_previous_file = 1.5\nsession_duration = 1.5\n");
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    given.not_utf8 = ["CODER_PG_CONNECTION_URL", "CODER_OIDC_CLIENT_ID", "CODER_WORKSPACE_NAME"].map(str::to_owned).into();
    given.variables.remove("CODER_OIDC_CLIENT_ID");
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there are 6 problems with the settings:
      CODER_OIDC_CLIENT_ID: is not UTF-8 text
      CODER_PG_CONNECTION_URL: is not UTF-8 text
      oidc_client_secret: must be a text in quotes
      oidc_client_secret_previous_file: must be a text in quotes
      session_duration: must be a duration in quotes like "45s"
      CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS: is required with Postgres, where tokens are sealed for all replicas; make a key with: evergate keys generate
    "#);
}

#[test]
fn what_looks_like_a_slip_in_a_secret_is_said_and_the_secret_is_not() {
    for (given, kept, said) in [
        ("\u{feff}hunter2\n", "hunter2", "begins with a byte order mark, which is left out"),
        ("\"hunter2\"\n", "\"hunter2\"", "is in quotes, which are taken for a part of it"),
        ("\nhunter2\n", "\nhunter2", "has blanks or empty lines around it, which are taken for a part of it"),
        ("hunter2\n\nhunter3\r\n", "hunter2\n\nhunter3", "has several lines, which are taken for one secret"),
    ] {
        let (_file, path) = file(given);
        let settings = with(&[("CODER_OIDC_CLIENT_SECRET_FILE", &path)]).unwrap();
        assert_eq!(settings.provider.oidc.client_secret.unwrap().expose(), kept);
        let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [format!("CODER_OIDC_CLIENT_SECRET_FILE: {said}")]);
    }
    let settings = with(&[("CODER_OIDC_CLIENT_SECRET", "hunter2\n")]).unwrap();
    assert_eq!(settings.warnings.len(), 1, "no line's end belongs to a variable");
    let (_file, path) = file("hunter2\r\n");
    assert!(with(&[("CODER_OIDC_CLIENT_SECRET_FILE", &path)]).unwrap().warnings.is_empty());
}

#[test]
fn a_bad_key_is_said_by_its_position_and_never_shown() {
    let said = with(&[("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", "aHVudGVyMg==")]).unwrap_err().to_string();
    assert!(
        said.contains("key 1 is not base64 of exactly 32 bytes; make one with: evergate keys generate")
            && !said.contains("aHVudGVyMg"),
        "{said}"
    );
}

#[test]
fn settings_are_shown_with_their_sources_and_secrets_masked() {
    let (_file, path) = file("oidc_scopes = [\"openid\"]\n");
    let mut given = environment(&WHOLE);
    given.variables.insert("CODER_OIDC_CLIENT_SECRET".to_owned(), "hunter2".to_owned());
    given.config_path = Some(path.clone());
    let shown = print::effective(&given.read(&mut Problems::default()));
    assert!(!shown.contains("hunter2"));
    for line in [
        "CODER_OIDC_CLIENT_SECRET=********  # environment",
        "CODER_HTTP_ADDRESS=127.0.0.1:3000  # default",
        &format!("CODER_OIDC_SCOPES=openid  # {path}"),
        "CODER_PG_CONNECTION_URL=  # not set",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
}

#[test]
fn a_password_in_an_address_is_printed_no_more_than_a_secret() {
    let (_file, path) = file(
        "upstream_url = \"http://ann:hunter2@10.0.0.1, http://bob:hunter2@10.0.0.2/x\"\n[[route]]\npath = \"/a\"\n\
         upstream = \"http://ann:hunter2@app:1\"\n",
    );
    let mut given = environment(&[("CODER_ACCESS_URL", "https://ann:hunter2@app.example/@x")]);
    given.config_path = Some(path);
    let shown = print::effective(&given.read(&mut Problems::default()));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("CODER_ACCESS_URL=https://********@app.example/@x"), "{shown}");
    assert!(shown.contains("http://********@10.0.0.1, http://********@10.0.0.2/x"), "{shown}");
}

#[test]
fn tables_of_the_file_are_printed_without_their_secrets() {
    let (_file, path) = file(
        "[[provider]]\nname = \"partners\"\noidc_issuer_url = \"https://idp.partners.example\"\noidc_client_id = \"evergate\"\n\
         oidc_client_secret = \"hunter2\"\n[[token_issuer]]\nname = \"ci\"\n[[route]]\npath = \"/a\"\ngroups = [\"a,b\", \"c\"]\n\
         set_headers = { authorization = \"hunter2\" }\nclient_secret = \"hunter2\"\nmax_requests = true\n",
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    let shown = print::effective(&given.read(&mut Problems::default()));
    insta::assert_snapshot!(shown.split_once("\n\n").unwrap().1, @r#"
    [[provider]]
    name = partners
    oidc_issuer_url = https://idp.partners.example
    oidc_client_id = evergate
    oidc_client_secret = ********

    [[token_issuer]]
    name = ci

    [[route]]
    path = /a
    groups = "a,b",c
    max_requests # must be a whole number
    set_headers = ********
    "#);
}
