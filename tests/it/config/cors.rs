//! `cors` of a route.

use super::{WHOLE, checked, environment, file};

#[test]
fn what_would_allow_strangers_or_allow_nothing_is_said_at_the_start() {
    let (_file, path) = file(
        r#"
        [[route]]
        path = "/a"
        cors = { origins = ["https://app.example.com/", "https://app.*.example.com", "https://*.com"], orgins = "x", max_age = "soon", credentials = "perhaps" }

        [[route]]
        path = "/b"
        methods = ["GET"]
        cors = { origins = ["*", "null"], methods = ["GET", "PUT"], headers = ["*"], exposed_headers = ["a b"], credentials = true }

        [[route]]
        path = "/c"
        cors = {}
        set_answer_headers = { Access-Control-Allow-Origin = "*" }

        [[route]]
        path = "/d"
        cors = true

        [[route]]
        path = "/e"
        cors = { origins = [1], methods = ["*", "b ad"] }
        "#,
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there are 15 problems with the settings:
      route[1].cors.orgins: there is no such setting of cors; did you mean origins?
      route[1].cors.credentials: must be true or false
      route[1].cors.origins: names https://app.example.com/, which is no origin as browsers write it: scheme, host in lower case, and port unless it is the scheme's default, without a path or a slash at the end, as in https://app.example.com
      route[1].cors.origins: names https://app.*.example.com, which has a star elsewhere than for the beginning of the first of at least three labels of the host, as in https://*.apps.example.com
      route[1].cors.origins: names https://*.com, which has a star elsewhere than for the beginning of the first of at least three labels of the host, as in https://*.apps.example.com
      route[1].cors.max_age: must be a duration like 45s, 15m, 24h or 30d
      route[2].cors.origins: names *, an origin that every site's page can have, together with credentials: every site could do what the user may do here
      route[2].cors.origins: names null, an origin that every site's page can have, together with credentials: every site could do what the user may do here
      route[2].cors.methods: names PUT, which the route does not take (methods)
      route[2].cors.headers: has a *, which browsers take for a name where credentials are allowed; name each
      route[2].cors.exposed_headers: must be names of headers
      route[3].cors.origins: is required, and names the origins whose scripts may use the route
      route[3].set_answer_headers: names a header that cors writes
      route[4].cors: must be a table like { one = "two", three = ["four"] }
      route[5].cors: must be a table like { one = "two", three = ["four"] }
    "#);
}

#[test]
fn a_table_of_its_own_and_yaml_say_the_same() {
    let toml = "[[route]]\npath = \"/a\"\n[route.cors]\norigins = [\"https://a.test\", \"https://b.test\"]\ncredentials = true\n";
    let yaml = "route:\n  - path: /a\n    cors: {origins: [https://a.test, https://b.test], credentials: true}\n";
    let read = |text: &str, name: &str| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut given = environment(&WHOLE);
        given.config_path = Some(path.display().to_string());
        let checked = checked(&given).unwrap();
        checked.gateway.routes.iter().find_map(|route| route.cors.clone()).unwrap()
    };
    assert_eq!(read(toml, "evergate.toml"), read(yaml, "evergate.yaml"));
}
