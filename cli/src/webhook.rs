//! `khata webhook`: merchants' webhook endpoints.

mod add;
mod deliveries;
mod list;
mod listen;
mod rotate_secret;
mod set;
mod settings;
mod switch;
mod test;
mod which;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum WebhookCommand {
    /// Add a webhook endpoint of a merchant, and print its secret; the secret is shown once
    Add(Box<add::Add>),
    /// List webhook endpoints, of a merchant or of all, with their states
    List(list::List),
    /// Show a webhook endpoint with its settings and its state
    Show(list::Show),
    /// Change the settings of a webhook endpoint; workers apply them within five seconds
    ///
    /// Open deliveries continue with the new settings. An attempt that follows a failed one keeps its body, also if the payload
    /// changes.
    Set(Box<set::Set>),
    /// Stop the calls to a webhook endpoint; the merchant's other endpoints get the event WEBHOOK_ENDPOINT_DISABLED
    ///
    /// Open deliveries stay, and continue when the endpoint is enabled. Events that happen until then get no delivery to it; `event
    /// replay` makes them.
    Disable(switch::Switch),
    /// Let the calls to a webhook endpoint begin again
    Enable(switch::Switch),
    /// Replace the secret of a webhook endpoint, and print the new one; the secret is shown once
    ///
    /// With --ed25519 the command replaces the key pair of the v1a signatures, and prints the new public key. For --overlap each
    /// request has a signature of both secrets or keys, so that the merchant has time to change over. If the old secret or private key
    /// has leaked, use --overlap 0.
    RotateSecret(rotate_secret::RotateSecret),
    /// Send a test event to a webhook endpoint and wait for its reply; exit code 0 if the endpoint accepted it
    ///
    /// The event WEBHOOK_ENDPOINT_TEST goes to this endpoint alone, through a worker like every other one. With --json, `outcome` is
    /// DELIVERED, FAILED, or NO_ATTEMPT (no worker made a call in time).
    Test(test::Test),
    /// Delete a webhook endpoint with its deliveries; it cannot be restored
    Delete(switch::Delete),
    /// List the deliveries of a merchant's newest events: state, attempts, status, duration and next attempt
    Deliveries(deliveries::Deliveries),
    /// Post a merchant's events to a developer's machine, signed like webhooks; needs the API and a key, and no database
    ///
    /// The command reads GET /events and makes each call once: it prints what the program replied, and does not try again. It begins
    /// with the events that come after its start; it remembers nothing when it ends.
    Listen(Box<listen::Listen>),
}

impl WebhookCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Set(set) => set.run(),
            Self::Disable(switch) => switch.disable(),
            Self::Enable(switch) => switch.enable(),
            Self::RotateSecret(rotate) => rotate.run(),
            Self::Test(test) => test.run(),
            Self::Delete(delete) => delete.run(),
            Self::Deliveries(deliveries) => deliveries.run(),
            Self::Listen(listen) => listen.run(),
        }
    }
}
