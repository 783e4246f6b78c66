//! `[[provider]]` tables.

use evergate::config::{Checked, Environment, Problems, Raw, check};

const TOP: [(&str, &str); 2] = [("CODER_ACCESS_URL", "https://app.example"), ("CODER_UPSTREAM_URL", "http://127.0.0.1:8080")];
const DEFAULT: [(&str, &str); 2] = [("CODER_OIDC_ISSUER_URL", "https://idp.example"), ("CODER_OIDC_CLIENT_ID", "app")];
const PARTNERS: &str =
    "[[provider]]\nname = \"partners\"\noidc_issuer_url = \"https://partners.example\"\noidc_client_id = \"app\"\n";

/// Reads this file with these variables besides.
fn read(file: &str, more: &[(&str, &str)]) -> (Raw, Problems) {
    let directory = tempfile::tempdir().unwrap();
    let name = if file.trim_start().starts_with("provider:") { "settings.yaml" } else { "settings.toml" };
    let path = directory.path().join(name);
    std::fs::write(&path, file).unwrap();
    let variables = TOP.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let environment = Environment { variables, config_path: Some(path.display().to_string()), ..Environment::default() };
    let mut problems = Problems::default();
    (environment.read(&mut problems), problems)
}

fn checked(file: &str, more: &[(&str, &str)]) -> Result<Checked, String> {
    let (raw, problems) = read(file, more);
    check(&raw, problems).map_err(|problems| problems.to_string())
}

fn names(checked: &Checked) -> Vec<&str> {
    checked.providers().map(|provider| provider.oidc.name.as_str()).collect()
}

#[test]
fn the_provider_of_the_environment_is_the_first_and_tables_alone_will_do() {
    let both = checked(PARTNERS, &DEFAULT).unwrap();
    assert_eq!(names(&both), ["default", "partners"]);
    let alone = checked(PARTNERS, &[]).unwrap();
    assert_eq!(names(&alone), ["partners"]);
    let renamed = PARTNERS.replace("partners\"\noidc_i", "default\"\noidc_i");
    assert_eq!(names(&checked(&renamed, &[]).unwrap()), ["default"], "which keeps its redirect URI when it moves into a table");
    let yaml = "provider:\n  - name: partners\n    oidc_issuer_url: https://partners.example\n    oidc_client_id: app\n    oidc_scopes: [openid]\n";
    assert_eq!(names(&checked(yaml, &DEFAULT).unwrap()), ["default", "partners"]);
}

#[test]
fn a_table_has_the_settings_of_a_provider_with_their_defaults_and_takes_none_from_outside() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "from a file\n").unwrap();
    let file = format!(
        "{PARTNERS}oidc_client_secret_file = \"{}\"\noidc_scopes = [\"openid\", \"x\"]\noidc_email_domain = [\"partners.example\"]\n\
         oidc_ignore_userinfo = true\noidc_ca_file = \"/ca.pem\"\noidc_preset = \"keycloak\"\ntext = \"Partners\"\n\
         email_domains = [\"Partners.Example\"]\n",
        secret.display()
    );
    let more = [("CODER_OIDC_SCOPES", "openid,other"), ("CODER_OIDC_ALLOWED_GROUPS", "a"), ("CODER_OIDC_GROUP_FIELD", "groups")];
    let checked = checked(&file, &[&DEFAULT[..], &more].concat()).unwrap();
    let [partners] = checked.further_providers.as_slice() else { panic!("one") };
    assert_eq!(partners.oidc.client_secret.as_ref().unwrap().expose(), "from a file");
    assert_eq!(partners.oidc.scopes.as_deref().unwrap(), ["openid", "x"]);
    assert_eq!(
        (&partners.policy.email_domains[..], partners.policy.allowed_groups.len()),
        (&["partners.example".to_owned()][..], 0)
    );
    assert!(partners.oidc.ignore_userinfo && partners.oidc.mapping.groups.is_none() && partners.oidc.preset.is_some());
    assert_eq!(partners.trust.ca_file.as_ref().unwrap().to_str(), Some("/ca.pem"));
    assert_eq!((partners.text.as_deref(), &partners.email_domains[..]), (Some("Partners"), &["partners.example".to_owned()][..]));
    assert_eq!(partners.oidc.mapping.username, "preferred_username", "a default");
    assert_eq!(checked.provider.policy.domains_of_others, ["partners.example"]);
    assert!(partners.policy.domains_of_others.is_empty() && checked.provider.trust.ca_file.is_none());
}

#[test]
fn what_is_wrong_with_tables_is_said_with_their_number_and_no_secret() {
    let with = |more: &str| format!("{PARTNERS}{more}");
    for (file, more, said) in [
        (with("name2 = \"x\"\n"), &DEFAULT[..], "provider[1].name2: there is no such setting of a provider; did you mean name?"),
        (
            with("client_id = \"x\"\n"),
            &DEFAULT,
            "provider[1].client_id: there is no such setting of a provider; did you mean oidc_client_id?",
        ),
        (with("oidc_introspection_cache = \"1s\"\n"), &DEFAULT, "provider[1].oidc_introspection_cache: is one for all providers"),
        (with("access_url = \"https://x\"\n"), &DEFAULT, "provider[1].access_url: is one for all providers"),
        (with("oidc_token_timeout = \"3\"\n"), &DEFAULT, "provider[1].oidc_token_timeout: must be a duration"),
        (with("oidc_client_secret = 4711471147\n"), &DEFAULT, "provider[1].oidc_client_secret: must be a text in quotes"),
        (with("oidc_ignore_userinfo = \"perhaps\"\n"), &DEFAULT, "provider[1].oidc_ignore_userinfo: "),
        (with("email_domains = [\"a b\"]\n"), &DEFAULT, "provider[1].email_domains: must be domains like example.com"),
        (
            PARTNERS.replace("partners\"\noidc_i", "Partners\"\noidc_i"),
            &DEFAULT,
            "provider[1].name: must be at most 32 lower-case",
        ),
        (PARTNERS.replace("partners\"\noidc_i", "default\"\noidc_i"), &DEFAULT, "provider[1].name: is another provider's too"),
        (PARTNERS.replace("name = \"partners\"", ""), &DEFAULT, "provider[1].name: is required"),
        (PARTNERS.replace("oidc_client_id = \"app\"", ""), &DEFAULT, "provider[1].oidc_client_id: is required"),
        (
            PARTNERS.replace("https://partners", "https://idp"),
            &DEFAULT,
            "provider partners: oidc_client_id: is that of provider default at the same issuer",
        ),
        (
            with("[[route]]\npath = \"/a\"\nproviders = [\"nobody\"]\n"),
            &DEFAULT,
            "route[1].providers: names nobody, and the providers are default, partners",
        ),
        (
            with("[[route]]\npath = \"/a\"\nproviders = [\"default\"]\n"),
            &[],
            "route[1].providers: names default, and the providers are partners",
        ),
        (
            with("[[route]]\npath = \"/a\"\nrule = \"public\"\nproviders = [\"partners\"]\n"),
            &DEFAULT,
            "route[1].providers: is about who is signed in",
        ),
        (PARTNERS.to_owned(), &[("CODER_OIDC_SCOPES", "openid")], "CODER_OIDC_ISSUER_URL: is required"),
        ("provider = \"partners\"\n".to_owned(), &DEFAULT, "provider: must be tables, each under [[provider]]"),
    ] {
        let problems = checked(&file, more).unwrap_err();
        assert!(problems.contains(said) && !problems.contains("4711471147"), "{file}\n{problems}");
    }
    let twice = format!(
        "{PARTNERS}email_domains = [\"a.test\"]\n{}",
        PARTNERS.replace("partners", "others") + "email_domains = [\"A.test\"]\n"
    );
    let problems = checked(&twice, &[]).unwrap_err();
    assert!(
        problems.contains("provider others: email_domains: has a.test, which is a domain of provider partners too"),
        "{problems}"
    );
    let clients =
        format!("{PARTNERS}{}", PARTNERS.replace("name = \"partners\"", "name = \"others\"").replace("\"app\"", "\"app2\""));
    assert_eq!(names(&checked(&clients, &[]).unwrap()), ["partners", "others"], "two clients at one issuer are two providers");
}

#[test]
fn tables_take_a_restart() {
    let secret = |text: &str| format!("{PARTNERS}oidc_client_secret = \"{text}\"\n");
    let raw = |file: &str| read(file, &DEFAULT).0;
    for (newer, kept) in [
        (secret("one"), vec![]),
        (secret("two"), vec!["provider"]),
        (String::new(), vec!["provider"]),
        (format!("{}{}", secret("one"), PARTNERS.replace("partners", "more")), vec!["provider"]),
    ] {
        let (settings, differing) = raw(&secret("one")).reloaded(raw(&newer));
        assert_eq!(differing, kept, "{newer}");
        let checked = check(&settings, Problems::default()).unwrap();
        assert_eq!(checked.further_providers[0].oidc.client_secret.as_ref().unwrap().expose(), "one", "it goes on with that");
    }
}

#[test]
fn whose_users_administer_is_said_where_there_are_several_providers() {
    let with = |file: &str, more: &[(&str, &str)]| {
        let groups = [("CODER_ADMIN_GROUPS", "operators"), ("CODER_OIDC_GROUP_FIELD", "groups")];
        checked(file, &[&DEFAULT[..], &groups, more].concat())
    };
    let unsaid = with(PARTNERS, &[]).unwrap_err();
    assert!(unsaid.contains("CODER_ADMIN_PROVIDERS: is required where there are several providers"), "{unsaid}");
    let unknown = with(PARTNERS, &[("CODER_ADMIN_PROVIDERS", "default,nobody")]).unwrap_err();
    assert!(unknown.contains("CODER_ADMIN_PROVIDERS: names a provider that there is not"), "{unknown}");
    let own = with(PARTNERS, &[("CODER_ADMIN_PROVIDERS", "default")]).unwrap();
    assert_eq!(own.administration.unwrap().providers, ["default"]);
    let alone = with("", &[]).unwrap();
    assert!(alone.administration.unwrap().providers.is_empty());
}
