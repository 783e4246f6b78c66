//! `evergate demo`.

use super::{output::ActionOutput, runtime::block_on, signals::Signals};
use crate::{
    demo,
    secret::random_text,
    telemetry::{self, logs},
};

/// Runs the demonstration until any signal arrives, SIGHUP included, and removes its files.
pub(super) fn run(port: Option<u16>, own_app: Option<&str>, is_administered: bool) -> anyhow::Result<()> {
    let settings = telemetry::Settings {
        json: None,
        output: telemetry::LogOutput::Stderr,
        filter: telemetry::LogFilter::Directives("info,evergate::access=off,evergate=debug".to_owned()),
        access_log: telemetry::AccessLog {
            user: telemetry::LoggedUser::None,
            fields: telemetry::Fields::ALL,
            sample: telemetry::SampleRatio::ALL,
        },
        metrics_address: None,
        traces: None,
    };
    let _flushes_at_end = logs::start(&settings)?;
    let directory = std::env::temp_dir().join(format!("evergate-demo-{}", random_text::<6>()));
    let result = block_on(async {
        let mut signals = Signals::install()?;
        let content = if is_administered { demo::Content::Administration } else { demo::Content::Nothing };
        let demo = demo::start(port, own_app, &directory, content).await?;
        let mut output = ActionOutput::default();
        output.print(&format!(
            "\n  Evergate is between you and a sample app:\n\n      {}\n\n  Open it, choose a person, and stay: access tokens live {} s and are renewed as you go.\n  \
             The log below shows every renewal. The provider is at {}.\n  Ctrl-C ends everything and leaves nothing behind.\n\n",
            demo.url,
            demo::ACCESS_TOKEN_LIFE.as_secs(),
            demo.issuer
        ));
        if is_administered {
            output.print(&format!(
                "  The administration, with two weeks of made history, is for Maya, who is on call:\n\n      {}/oauth2/admin\n\n",
                demo.url
            ));
        }
        // Nobody would know where it is.
        let told = output.finish();
        if told.is_ok() {
            signals.next().await;
        }
        demo.gateway.stop().await;
        told
    });
    let _best_effort = std::fs::remove_dir_all(&directory);
    result
}
