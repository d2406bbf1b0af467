//! Failpoints: places on an account's way at which `make failpoints` stops, pauses or cuts off a process. Only the feature
//! `mutants` of this crate makes them possible, which release builds refuse. Without the feature a point is an empty function, and
//! no program reads the variables.
//!
//! `KHATA_FAILPOINT` is `POINT:exit`, `POINT:sleep:SECONDS` or `POINT:lose`. The first process that reaches the point creates the
//! file `KHATA_FAILPOINT_FILE`, and then does so; where the file exists, nothing happens. With `lose` the process waits until
//! the file `KHATA_FAILPOINT_FILE` + `.lost` exists: meanwhile the runner cuts the connection.

#[cfg(feature = "mutants")]
pub use armed::{pass, pass_blocking};

/// Passes a point of a task.
#[cfg(not(feature = "mutants"))]
#[inline]
pub fn pass(_: Failpoint) -> std::future::Ready<()> {
    std::future::ready(())
}

/// Passes a point of a thread that may block.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn pass_blocking(_: Failpoint) {}

/// A point, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failpoint(&'static str);

impl Failpoint {
    /// The accounts of create calls are written.
    pub const CREATE_BEFORE_COMMIT: Self = Self("create-before-commit");
    /// They are stored, and no call knows it.
    pub const CREATE_AFTER_COMMIT: Self = Self("create-after-commit");
    /// The call knows that its accounts are stored, and has published no wake-up.
    pub const CREATE_BEFORE_PUBLISH: Self = Self("create-before-publish");
    /// The validation of *validate again* is written.
    pub const VALIDATE_BEFORE_COMMIT: Self = Self("validate-before-commit");
    pub const VALIDATE_AFTER_COMMIT: Self = Self("validate-after-commit");
    /// The reply of an idempotent call is not recorded.
    pub const REPLY_BEFORE_RECORD: Self = Self("reply-before-record");
    /// A gateway webhook is written.
    pub const GATEWAY_WEBHOOK_BEFORE_COMMIT: Self = Self("gateway-webhook-before-commit");
    /// The gateway webhook is stored; its wake-up and its reply are not sent.
    pub const GATEWAY_WEBHOOK_AFTER_COMMIT: Self = Self("gateway-webhook-after-commit");

    pub const WAKEUP_BEFORE_PUBLISH: Self = Self("wakeup-before-publish");
    /// The message with wake-ups is sent; RabbitMQ has not confirmed it.
    pub const WAKEUP_BEFORE_CONFIRM: Self = Self("wakeup-before-confirm");
    pub const WAKEUP_AFTER_CONFIRM: Self = Self("wakeup-after-confirm");
    pub const SIGNAL_BEFORE_PUBLISH: Self = Self("signal-before-publish");
    /// The scheduler has made validations due.
    pub const SCHEDULE_BEFORE_COMMIT: Self = Self("schedule-before-commit");
    /// The scheduler has taken due validations, and has published no wake-up.
    pub const SCHEDULE_AFTER_COMMIT: Self = Self("schedule-after-commit");
    /// The validations of a message are claimed.
    pub const MESSAGE_BEFORE_ACK: Self = Self("message-before-ack");
    pub const MESSAGE_AFTER_ACK: Self = Self("message-after-ack");

    /// Leases and attempts are written.
    pub const CLAIM_BEFORE_COMMIT: Self = Self("claim-before-commit");
    /// The worker holds a lease, and has not checked the time that is left of it.
    pub const CLAIM_AFTER_COMMIT: Self = Self("claim-after-commit");
    /// The worker has checked its lease, and makes the call.
    pub const CALL_BEFORE_REQUEST: Self = Self("call-before-request");
    pub const CALL_AFTER_RESPONSE: Self = Self("call-after-response");
    /// The worker makes a call again, because the response to the first one was lost.
    pub const REPEAT_BEFORE_REQUEST: Self = Self("repeat-before-request");
    pub const REPEAT_AFTER_RESPONSE: Self = Self("repeat-after-response");
    /// The worker polls a pending outcome, or looks a lost call up.
    pub const LOOKUP_BEFORE_REQUEST: Self = Self("lookup-before-request");
    pub const LOOKUP_AFTER_RESPONSE: Self = Self("lookup-after-response");
    /// A step that leaves the validation open is written.
    pub const PENDING_BEFORE_COMMIT: Self = Self("pending-before-commit");
    pub const PENDING_AFTER_COMMIT: Self = Self("pending-after-commit");
    /// An outcome is written, with the account's status, its event and the deliveries of the event.
    pub const OUTCOME_BEFORE_COMMIT: Self = Self("outcome-before-commit");
    pub const OUTCOME_AFTER_COMMIT: Self = Self("outcome-after-commit");

    /// Attempts of deliveries are written.
    pub const DELIVERY_CLAIM_BEFORE_COMMIT: Self = Self("delivery-claim-before-commit");
    pub const DELIVERY_CLAIM_AFTER_COMMIT: Self = Self("delivery-claim-after-commit");
    pub const DELIVERY_BEFORE_REQUEST: Self = Self("delivery-before-request");
    pub const DELIVERY_AFTER_REPLY: Self = Self("delivery-after-reply");
    /// The results of deliveries are written.
    pub const DELIVERY_BEFORE_COMMIT: Self = Self("delivery-before-commit");
    pub const DELIVERY_AFTER_COMMIT: Self = Self("delivery-after-commit");
}

#[cfg(feature = "mutants")]
mod armed {
    use std::path::PathBuf;
    use std::sync::{Arc, LazyLock, Mutex, PoisonError};
    use std::task::{Poll, Waker};
    use std::time::{Duration, Instant};

    use super::Failpoint;

    /// Interval between two looks for the file that ends a wait.
    const INTERVAL: Duration = Duration::from_millis(5);
    /// Longest wait for that file.
    const LOST_WITHIN: Duration = Duration::from_secs(30);

    #[derive(Debug)]
    enum Action {
        Exit,
        Sleep(Duration),
        Lose,
    }

    /// The point of this process.
    #[derive(Debug)]
    struct Armed {
        point: String,
        action: Action,
        file: PathBuf,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = std::env::var("KHATA_FAILPOINT").ok()?;
        let parts: Vec<&str> = text.split(':').collect();
        let action = match parts[1..] {
            ["exit"] => Action::Exit,
            ["sleep", seconds] => Action::Sleep(Duration::from_secs(seconds.parse().ok()?)),
            ["lose"] => Action::Lose,
            _ => return None,
        };
        Some(Armed {
            point: parts[0].to_owned(),
            action,
            file: std::env::var_os("KHATA_FAILPOINT_FILE")?.into(),
        })
    });

    impl Armed {
        /// Whether this process is the first one to reach the point.
        fn is_first(&self) -> bool {
            std::fs::File::create_new(&self.file).is_ok()
        }

        /// Ends the process, or returns when the pause is over.
        fn act(&self) {
            match self.action {
                Action::Exit => std::process::abort(),
                Action::Sleep(time) => std::thread::sleep(time),
                Action::Lose => {
                    let until = Instant::now() + LOST_WITHIN;
                    let mut lost = self.file.clone().into_os_string();
                    lost.push(".lost");
                    let lost = PathBuf::from(lost);
                    while !lost.exists() && Instant::now() < until {
                        std::thread::sleep(INTERVAL);
                    }
                }
            }
        }
    }

    /// Returns what happens at this point, once.
    fn fired(point: Failpoint) -> Option<&'static Armed> {
        let armed = ARMED.as_ref().filter(|armed| armed.point == point.0)?;
        armed.is_first().then_some(armed)
    }

    /// Passes a point of a thread that may block.
    pub fn pass_blocking(point: Failpoint) {
        if let Some(armed) = fired(point) {
            armed.act();
        }
    }

    /// Whether the pause is over, and the task that waits for that.
    type Pause = Arc<Mutex<(bool, Option<Waker>)>>;

    /// Passes a point of a task. A pause stops this task only.
    pub async fn pass(point: Failpoint) {
        let Some(armed) = fired(point) else {
            return;
        };
        let pause = Pause::default();
        let ended = Arc::clone(&pause);
        std::thread::spawn(move || {
            armed.act();
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.0 = true;
            if let Some(waker) = ended.1.take() {
                waker.wake();
            }
        });
        std::future::poll_fn(|context| {
            let mut pause = pause.lock().unwrap_or_else(PoisonError::into_inner);
            if pause.0 {
                return Poll::Ready(());
            }
            pause.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
