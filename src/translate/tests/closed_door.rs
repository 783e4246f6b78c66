//! What restricts who may enter and cannot be translated: nobody enters then.

use super::*;

const CLOSED: &str = "CODER_OIDC_ALLOWED_GROUPS=nobody-until-an-administrator-decides\n";

fn of_files(files: &[(&str, &str)], arguments: &[&str]) -> Translation {
    translated(&Sources { files: files.iter().map(|(name, _)| (*name).to_owned()).collect(), ..sources(arguments) }, files)
}

/// Whether nobody enters; an error must say why, and the settings must be readable.
fn is_closed(translation: &Translation) -> bool {
    let text = translation.output(&Secrets::Shown, "evergate.toml").environment;
    let is_closed = text.contains(CLOSED);
    if is_closed {
        assert_eq!(translation.severity(), Severity::Error, "{:?}", translation.notes());
        assert_eq!(text.matches("CODER_OIDC_ALLOWED_GROUPS=").count(), 1, "{text}");
    }
    is_closed
}

/// A container with these arguments and these lines below it.
fn container(arguments: &str, more: &str) -> String {
    let more = more.replace('\n', "\n  ");
    format!(
        "kind: Pod\nspec:\n  containers:\n  - image: quay.io/oauth2-proxy/oauth2-proxy\n    args: [--provider=oidc, \
         --oidc-issuer-url=https://idp.example, --client-id=app, --redirect-url=https://app.example/oauth2/callback, \
         '--upstream=http://app:80/'{arguments}]\n    {}",
        more.replace("\n", "\n  ")
    )
}

#[test]
fn a_restriction_that_there_is_not_lets_nobody_in() {
    let all = options::SECTIONS.iter().flat_map(|(_, options)| options.iter());
    for option in all.filter(|option| matches!(option.meaning, Meaning::NoRestriction(_))) {
        for more in [&[][..], &["--allowed-group=staff"]] {
            let flag = format!("--{}=acme", option.flag);
            for provider in ["oidc", "google", "github", "gitlab", "bitbucket"] {
                let provider = format!("--provider={provider}");
                let arguments = [&BASE[..1], &BASE[2..], &[&provider, &flag], more].concat();
                // Whoever was in one of the groups entered.
                let is_needless = option.flag == "gitlab-project" && provider.ends_with("gitlab") && !more.is_empty();
                let translation = translated(&sources(&arguments), &[]);
                assert_eq!(is_closed(&translation), !is_needless, "{arguments:?}");
                assert_eq!(translation.severity(), Severity::Error, "{arguments:?}");
            }
        }
    }
    let text = written(&[&BASE[..1], &BASE[2..], &["--provider=gitlab", "--gitlab-project=a/b", "--gitlab-group=c"]].concat());
    assert!(text.contains("CODER_OIDC_ALLOWED_GROUPS=c\n"), "those of the group were let in, and are: {text}");
}

#[test]
fn a_restriction_whose_value_is_elsewhere_lets_nobody_in() {
    let all = options::SECTIONS.iter().flat_map(|(_, options)| options.iter());
    for option in all.filter(|option| !matches!(option.meaning, Meaning::NoEffect(_))) {
        let plural = if option.form == Form::List { "S" } else { "" };
        let name = format!("OAUTH2_PROXY_{}{plural}", option.flag.to_uppercase().replace('-', "_"));
        let env = format!("env:\n- name: {name}\n  valueFrom: {{configMapKeyRef: {{name: auth, key: x}}}}\n");
        // What is tested is not given as a flag, which would come before it.
        let flags = if option.flag == "email-domain" { "" } else { ", '--email-domain=*'" };
        let text = container(flags, &env);
        let text = text.lines().map(|line| without_flag(line, option.flag) + "\n").collect::<String>();
        let translation = of_files(&[("pod.yaml", &text)], &[]);
        let restricts = matches!(option.meaning, Meaning::Restriction(_) | Meaning::NoRestriction(_));
        assert_eq!(is_closed(&translation), restricts, "{name}: {:?}", translation.notes());
        let is_said = translation.notes().iter().any(|note| {
            note.severity == Severity::Error && note.subject == name && note.message.contains("the key x of the config map auth")
        });
        let is_asked_for = ["client-id", "client-secret", "basic-auth-password", "jwt-key"].contains(&option.flag);
        assert_eq!(is_said, !is_asked_for, "{name}: {:?}", translation.notes());
    }
}

/// A line without this flag in its list.
fn without_flag(line: &str, flag: &str) -> String {
    let is_other = |word: &&str| !word.trim_matches(['\'', ' ', ']']).starts_with(&format!("--{flag}="));
    match line.split_once("args: [") {
        Some((before, words)) => {
            let words: Vec<_> = words.trim_end_matches(']').split(", ").filter(is_other).collect();
            format!("{before}args: [{}]", words.join(", ").trim_start_matches(", "))
        }
        None => line.to_owned(),
    }
}

#[test]
fn a_flag_comes_before_a_variable_whose_value_is_elsewhere() {
    let env = "env:\n- name: OAUTH2_PROXY_ALLOWED_GROUPS\n  valueFrom: {secretKeyRef: {name: auth, key: x}}\n";
    let translation = of_files(&[("pod.yaml", &container(", '--email-domain=*', --allowed-group=staff", env))], &[]);
    assert_eq!(translation.value("oidc_allowed_groups"), Some("staff"));
    assert!(translation.severity() < Severity::Error, "{:?}", translation.notes());
    let text = container(", '--email-domain=*'", env);
    let translation = of_files(&[("pod.yaml", &text)], &["--allowed-group=staff"]);
    assert_eq!(translation.value("oidc_allowed_groups"), Some("staff"), "given as a flag, as the note says");
}

#[test]
fn variables_and_values_that_are_taken_from_elsewhere_let_nobody_in() {
    for more in [
        "envFrom:\n- secretRef: {name: auth}\n",
        "env_file: auth.env\n",
        "environment:\n  OAUTH2_PROXY_ALLOWED_GROUPS:\n",
        "environment:\n- OAUTH2_PROXY_ALLOWED_GROUPS\n",
        "environment:\n- OAUTH2_PROXY_SOMETHING_NEW=x\n",
        "env: everything\n",
        "env:\n- name: OAUTH2_PROXY_ALLOWED_GROUPS\n  value: [a]\n",
    ] {
        assert!(is_closed(&of_files(&[("pod.yaml", &container(", '--email-domain=*'", more))], &[])), "{more}");
    }
    assert!(!is_closed(&of_files(&[("pod.yaml", &container(", '--email-domain=*'", ""))], &[])));
    for (values, is_open) in [
        ("config: {clientID: x, google: {groups: [admins@corp.example]}}", false),
        ("config: {clientID: x, google: {adminEmail: a@corp.example}}", true),
        ("authenticatedEmailsFile: {enabled: true, restricted_access: a@x.example}", false),
        ("authenticatedEmailsFile: {enabled: false}", true),
        ("config: {existingConfig: mine}", false),
        ("alphaConfig: {enabled: true, existingConfig: mine}", false),
        ("alphaConfig: {enabled: true, existingSecret: mine}", false),
        ("alphaConfig: everything", false),
        ("extraArgs: {allowed-group: {a: b}}", false),
        ("extraArgs: everything", false),
        ("config: {clientID: x}\nenvFrom: [{secretRef: {name: x}}]", false),
        ("config: {clientID: x}\nenvFrom: []", true),
        ("valuesFrom: [{kind: ConfigMap}]\nvalues: {extraArgs: {skip-provider-button: true}}", false),
    ] {
        let translation = of_files(&[("values.yaml", values)], &BASE);
        assert_eq!(is_closed(&translation), !is_open, "{values}: {:?}", translation.notes());
    }
    let translation = of_files(&[("values.yaml", "htpasswdFile: {enabled: true, entries: [x]}")], &BASE);
    assert_eq!(translation.severity(), Severity::Error, "it is said, and restricts nobody: {:?}", translation.notes());
    let alpha = "providers:\n- provider: oidc\n  clientID: app\n  allowedGroups: ['${GROUP}']\n";
    assert!(is_closed(&of_files(&[("alpha.yaml", alpha)], &BASE[4..])));
    let alpha = "providers:\n- provider: oidc\n  clientID: app\n  allowedOnlyOnMondays: true\n";
    assert!(is_closed(&of_files(&[("alpha.yaml", alpha)], &BASE[4..])));
    assert!(is_closed(&of_files(&[("proxy.cfg", "allowed_groups = [[\"a\"]]\n")], &BASE)));
}

#[test]
fn without_a_rule_for_addresses_nobody_enters() {
    let arguments: Vec<_> = BASE.iter().copied().filter(|flag| !flag.starts_with("--email")).collect();
    assert!(is_closed(&translated(&sources(&arguments), &[])));
    assert!(is_closed(&translated(&sources(&[&arguments[..], &["--email-domain="]].concat()), &[])));
    assert!(!is_closed(&translated(&sources(&[&arguments[..], &["--email-domain=a.example"]].concat()), &[])));
    for strange in ["@a.example", "*a.example", "a|b.example", "..a.example", ".*"] {
        let domain = format!("--email-domain={strange}");
        assert!(is_closed(&translated(&sources(&[&arguments[..], &[&domain]].concat()), &[])), "{strange}");
    }
}

#[test]
fn groups_are_those_that_the_provider_of_oauth2_proxy_reads_and_no_more() {
    let groups = |arguments: &[&str]| {
        let translation = translated(&sources(&[&BASE[..1], &BASE[2..], arguments].concat()), &[]);
        translation.value("oidc_allowed_groups").unwrap_or_default().to_owned()
    };
    for other in ["--gitlab-group=staff", "--keycloak-group=staff"] {
        assert_eq!(groups(&["--provider=oidc", "--allowed-group=admins", other]), "admins", "{other}");
    }
    assert_eq!(groups(&["--provider=gitlab", "--gitlab-group=staff"]), "staff");
    assert_eq!(groups(&["--provider=keycloak", "--keycloak-group=staff", "--allowed-group=staff"]), "staff");
    assert!(groups(&["--provider=gitlab", "--gitlab-group=staff", "--allowed-group=admins"]).starts_with("nobody"));
}

#[test]
fn a_group_that_a_list_cannot_hold_lets_nobody_in() {
    for (arguments, file) in [
        (&["--allowed-group=\"a,b\",c"][..], "cookie_name = \"x\"\n"),
        (&["--allowed-group=a, b"], "cookie_name = \"x\"\n"),
        (&[], "allowed_groups = [\"a,b\"]\n"),
    ] {
        assert!(is_closed(&of_files(&[("proxy.cfg", file)], &[&BASE[..], arguments].concat())), "{arguments:?} {file}");
    }
}

#[test]
fn a_tenant_that_the_issuer_does_not_name_lets_nobody_in() {
    let of_issuer = |issuer: &'static str| {
        let issuer = format!("--oidc-issuer-url={issuer}");
        let arguments = [&BASE[..1], &BASE[3..], &["--provider=azure", "--azure-tenant=t-1", &issuer]].concat();
        is_closed(&translated(&sources(&arguments), &[]))
    };
    assert!(of_issuer("https://login.microsoftonline.com/common/v2.0"));
    assert!(!of_issuer("https://login.microsoftonline.com/t-1/v2.0"));
}

#[test]
fn two_variables_that_disagree_let_nobody_in() {
    let closes = |second: &str| {
        let variables = [("OAUTH2_PROXY_ALLOWED_GROUP", "a"), ("OAUTH2_PROXY_ALLOWED_GROUPS", second)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        is_closed(&translated(&Sources { variables, ..sources(&BASE) }, &[]))
    };
    assert!(closes("b") && !closes("a"));
}

#[test]
fn several_oauth2_proxies_are_not_one_that_lets_in_the_users_of_both() {
    let service = |domain: &str| format!("{{image: oauth2-proxy, command: --email-domain={domain}}}");
    let compose = format!("services:\n  a: {}\n  b: {}\n", service("a.example"), service("b.example"));
    assert!(problems(&[("compose.yml", &compose)]).contains("several oauth2-proxies; give one of them at a time"));
    let one = format!("services:\n  a: {}\n", service("a.example"));
    let chart = "extraArgs: {email-domain: b.example}\n";
    assert!(problems(&[("compose.yml", &one), ("values.yaml", chart)]).contains("several oauth2-proxies"));
    let file = "email_domains = [\"a.example\"]\n";
    assert!(problems(&[("a.cfg", file), ("b.cfg", file)]).contains("several files of oauth2-proxy's"));
    let alpha = "providers: [{provider: oidc, allowedGroups: [a]}]\n";
    assert!(problems(&[("a.yaml", alpha), ("b.yaml", alpha)]).contains("several alpha configurations"));
}

#[test]
fn a_file_of_which_nothing_can_be_read_is_a_problem() {
    let alpha = "providers:\n- &first\n  provider: oidc\n  allowedGroups: [staff]\n";
    let unreadable = "is not YAML that Evergate reads";
    assert!(problems(&[("alpha.yaml", alpha)]).contains(unreadable));
    let pod = container("", "");
    for text in [format!("{pod}---\n{alpha}"), format!("{alpha}---\n{pod}")] {
        assert!(problems(&[("all.yaml", &text)]).contains(unreadable), "{text}");
    }
    let chart = "config: {clientID: x}\nalphaConfig:\n  configFile: |\n    providers:\n    - &first {provider: oidc}\n";
    assert!(problems(&[("values.yaml", chart)]).contains(unreadable));
    for (name, text) in [("pod.yaml", "kind: Pod\n"), ("proxy.cfg", "\n"), ("proxy.env", "A=b\n"), ("alpha.json", "[]")] {
        assert!(problems(&[(name, text)]).contains("holds nothing of oauth2-proxy's"), "{name}");
    }
    let others = format!("kind: Secret\ndata: &anchor {{a: b}}\n---\n{pod}");
    of_files(&[("all.yaml", &others)], &[]);
}
