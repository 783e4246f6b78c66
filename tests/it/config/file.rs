//! The settings file: what it may hold, and how strictly it is read.

use evergate::config::{Problems, ValueType, print, table};

use super::{WHOLE, checked, environment, file, problems};

#[test]
fn an_unknown_name_in_the_file_or_among_the_flags_is_a_problem_whatever_it_is_like() {
    let (_file, path) = file("workspace_name = \"dev\"\nport_80_tcp_addr = \"10.96.0.7\"\n");
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    // The same name elsewhere does not hide it.
    given.variables.insert("CODER_WORKSPACE_NAME".to_owned(), "dev".to_owned());
    given.flags.insert("agent_token".to_owned(), "hunter2".to_owned());
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r"
    there are 3 problems with the settings:
      port_80_tcp_addr: there is no such setting
      workspace_name: there is no such setting
      --agent-token: there is no such setting
    ");
}

#[test]
fn the_file_may_use_its_own_types_and_is_read_strictly() {
    let (_file, path) = file(
        "oidc_scopes = [\"openid\", \"groups\"]\npass_access_token = true\npg_conn_max_open = 3\n[oidc_auth_url_params]\nprompt = \"consent\"\n",
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    let settings = checked(&given).unwrap();
    assert_eq!(settings.provider.oidc.scopes.unwrap(), ["openid", "groups"]);
    assert_eq!(settings.provider.oidc.mapping.groups.as_deref(), Some("groups"), "as Coder has it");
    assert!(settings.gateway.routes.iter().all(|route| route.identity.names().any(|name| name == "x-forwarded-access-token")));
    assert_eq!(settings.provider.oidc.auth_params["prompt"], "consent");

    let (_file, path) = file("oidc_client_secret = \"hunter2\noidc_scopes = 3");
    given.config_path = Some(path);
    let said = checked(&given).unwrap_err().to_string();
    assert!(said.contains("is not valid TOML") && !said.contains("hunter2"), "{said}");
    let (_file, path) = file("oidc_scope = \"openid\"\n");
    given.config_path = Some(path);
    assert!(checked(&given).unwrap_err().to_string().contains("oidc_scope: there is no such setting; did you mean oidc_scopes?"));
    given.config_path = Some("/nowhere/evergate.toml".to_owned());
    assert!(checked(&given).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_problem_because_whatever_is_missing_may_be_in_it() {
    let (_file, broken) = file("upstream_url = [");
    let key = [("CODER_OIDC_CLIENT_KEY_FILE", "/key.pem"), ("CODER_OIDC_CLIENT_AUTH_METHOD", "none")];
    let database = [("CODER_PG_LISTEN_URL", "postgres://db.example/evergate")];
    for (path, said) in [("/nowhere/evergate.toml", "cannot be read"), (broken.as_str(), "is not valid TOML")] {
        for variables in [&WHOLE[..], &[], &key, &database] {
            let mut given = environment(variables);
            given.config_path = Some(path.to_owned());
            let told = checked(&given).unwrap_err().to_string();
            assert!(told.contains(said) && told.starts_with("there is a problem with"), "{told}");
            let mut problems = Problems::default();
            let raw = given.read(&mut problems);
            let told = raw.store(problems).unwrap_err().to_string();
            assert!(
                told.contains(said) && told.starts_with("there is a problem with"),
                "of the commands that need the store alone: {told}"
            );
        }
        let mut given = environment(&WHOLE);
        given.variables.insert("CODER_OIDC_ALOWED_GROUPS".to_owned(), "x".to_owned());
        given.config_path = Some(path.to_owned());
        let told = checked(&given).unwrap_err().to_string();
        assert!(told.contains("CODER_OIDC_ALOWED_GROUPS: there is no such setting"), "{told}");
    }
    let mut given = environment(&[]);
    given.not_utf8.insert("coder_config_path".to_owned());
    let told = checked(&given).unwrap_err().to_string();
    assert!(told.contains("is not UTF-8 text") && told.starts_with("there is a problem with"), "{told}");
}

#[test]
fn blanks_around_the_path_of_a_file_are_left_out() {
    let (_file, path) = file("oidc_scopes = [\"openid\", \"groups\"]\n");
    let (_secret, secret) = file("hunter2");
    let mut given = environment(&WHOLE);
    given.variables.insert("CODER_CONFIG_PATH".to_owned(), format!(" {path}\n"));
    given.variables.insert("CODER_OIDC_CLIENT_SECRET_FILE".to_owned(), format!("{secret} \n"));
    assert_eq!(checked(&given).unwrap().provider.oidc.scopes.unwrap(), ["openid", "groups"]);
}

#[test]
fn a_rule_on_claims_that_names_none_is_a_problem_instead_of_letting_everybody_in() {
    for empty in ["claims = {}", "claims_match = {}", "claims_exist = []", "claims = { a = [] }"] {
        let (_file, path) = file(&format!("[[route]]\npath = \"/a\"\n{empty}\n"));
        let mut given = environment(&WHOLE);
        given.config_path = Some(path);
        let told = checked(&given).unwrap_err().to_string();
        assert!(told.contains("nothing") || told.contains("without a value"), "{empty}: {told}");
    }
}

#[test]
fn whatever_is_of_a_wrong_type_in_the_file_is_a_problem_in_every_setting() {
    for key in table::all() {
        let names = [key.name.to_owned(), format!("{}_file", key.name)];
        for name in names.iter().take(if key.is_secret() { 2 } else { 1 }) {
            for value in ["1.5", "nan", "1979-05-27", "[[\"a\"]]", "[1.5]", "{ a = [\"b\"] }", "[\"a,b\"]"] {
                let fits = [(ValueType::MapOfLists, "{ a = [\"b\"] }"), (ValueType::List, "[\"a,b\"]")];
                if fits.contains(&(key.value_type, value)) {
                    continue;
                }
                let (_file, path) = file(&format!("{name} = {value}\n"));
                let mut given = environment(&WHOLE);
                // It goes before the file.
                given.variables.retain(|variable, _| *variable != key.env());
                given.config_path = Some(path);
                let Err(said) = checked(&given) else { panic!("{name} = {value} is passed over") };
                let about: Vec<_> = said.0.iter().filter(|problem| problem.key == *name).collect();
                assert_eq!(about.len(), 1, "{name} = {value}: {said}");
                let missing = format!("{}: is required", key.env());
                assert!(!said.to_string().contains(&missing), "{name} = {value}: {said}");
            }
        }
    }
}

#[test]
fn whatever_is_of_a_wrong_type_in_a_route_is_a_problem() {
    let (_file, path) = file(
        "[[route]]\nhost = 1\nca_file = 1.5\nclient_cert_file = [\"a\"]\nclient_key_file = true\ngroups = \"[\\\"a\\\",\\\"b\\\"]\"\n\
         strip_prefix = 1.5\nset_headers = [\"a\"]\nmax_requests = 1.0\n",
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there are 8 problems with the settings:
      route[1].host: must be a text in quotes
      route[1].groups: must be texts separated by commas like one,two; one with a comma in it is in double quotes
      route[1].strip_prefix: must be true or false
      route[1].set_headers: must be a table of texts like { one = "two" }
      route[1].max_requests: must be a whole number
      route[1].ca_file: must be a text in quotes
      route[1].client_cert_file: must be a text in quotes
      route[1].client_key_file: must be a text in quotes
    "#);
}

#[test]
fn the_example_file_is_read_without_a_problem_once_its_lines_are_taken_in() {
    let uncommented: String = print::example()
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| table::all().any(|key| line.starts_with(&format!("{} = ", key.name))))
        .filter(|line| !line.ends_with("= \"\"") && !line.ends_with("= []") && !line.ends_with("= {}"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(uncommented.lines().count() > 15, "{uncommented}");
    let (_file, path) = file(&uncommented);
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    checked(&given).unwrap();
}

#[test]
fn every_problem_of_every_route_is_reported_and_routes_stand_in_the_file_alone() {
    let (_file, path) = file(
        r#"
        [[route]]
        path = "/a/../b"
        upstream = "ftp://x"
        rule = "public"
        groups = ["admins"]
        metods = ["GET"]

        [[route]]
        host = "https://other.example"
        path = "/ok/"
        protocol = "http3"
        outage = "maybe"
        set_headers = { "bad name" = "x" }
        set_answer_headers = { X-Forwarded-User = "x" }
        client_key_file = "key.pem"

        [[route]]
        path = "/twice"
        timeout = 3.5
        remove_headers = ["content-length"]
        set_headers = { Transfer-Encoding = "chunked" }
        max_requests = -1

        [[route]]
        path = "/twice/"

        [[route]]
        host = "other.example/"

        [[route]]
        host = "127.1"
        "#,
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there are 17 problems with the settings:
      route[1].metods: there is no such setting of a route; did you mean methods?
      route[1].path: must be a path like /api, without escapes
      route[1].rule: lets everybody pass, so that rules about groups, e-mail addresses and claims would be asked of nobody
      route[1].upstream: must begin with http://, https:// or unix:
      route[2].host: must be scheme, host and port alone, without a path
      route[2].outage: must be grace or strict
      route[2].set_headers: must be a table of headers, as in { X-App = "one" }
      route[2].protocol: must be http1 or http2
      route[2].set_answer_headers: names a header that is Evergate's own to send
      route[2].client_cert_file: and client_key_file go together
      route[3].remove_headers: names a header that says how messages are sent, which is not for a route to change
      route[3].set_headers: names a header that says how messages are sent, which is not for a route to change
      route[3].max_requests: must be a whole number up to 1000000
      route[3].timeout: must be a duration in quotes like "45s"
      route[5].host: must be a host as browsers write it, as in app.example.com or app.example.com:8443
      route[6].host: must be a host as browsers write it, as in app.example.com or app.example.com:8443
      route[4]: has the host and path of a route before it
    "#);
    let (_file, path) = file("route = 3");
    given.config_path = Some(path);
    assert!(checked(&given).unwrap_err().to_string().contains("route: must be tables, each under [[route]]"));
    let said = problems(&[("CODER_ROUTE", "x")]);
    assert!(said.contains("CODER_ROUTE: there is no such setting"), "{said}");
}
