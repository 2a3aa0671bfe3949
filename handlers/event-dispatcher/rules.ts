export type Priority = "low" | "normal" | "high" | "critical";

/** Holds when any value at `path` is one of `oneOf`. A path goes down by field names; a list on the way stands for all its elements. */
export interface Condition {
  readonly path: string;
  readonly oneOf: readonly (string | number | boolean)[];
}

/** What is to be done about which repository events. Every rule that matches requests its task. */
export interface Rule {
  readonly name: string;
  readonly events: readonly string[];
  /** Default: any action. */
  readonly actions?: readonly string[];
  /** All must hold. */
  readonly where?: readonly Condition[];
  readonly taskType: string;
  readonly priority: Priority;
}

const alertEvents = ["code_scanning_alert", "dependabot_alert", "repository_vulnerability_alert", "secret_scanning_alert", "security_advisory"];

export const rules: readonly Rule[] = [
  {
    name: "security-alert",
    events: alertEvents,
    actions: ["created", "create", "published", "reopened", "appeared_in_branch"],
    taskType: "triage-security-alert",
    priority: "critical",
  },
  {
    name: "red-build",
    events: ["check_run", "check_suite", "workflow_run", "workflow_job"],
    where: [{ path: "*.conclusion", oneOf: ["failure", "timed_out"] }],
    taskType: "diagnose-build",
    priority: "high",
  },
  {
    name: "failed-deployment",
    events: ["deployment_status"],
    where: [{ path: "deployment_status.state", oneOf: ["failure", "error"] }],
    taskType: "roll-back-deployment",
    priority: "critical",
  },
  {
    name: "bug-reported",
    events: ["issues"],
    actions: ["opened", "reopened", "labeled"],
    where: [{ path: "issue.labels.name", oneOf: ["bug", "regression"] }],
    taskType: "reproduce-bug",
    priority: "high",
  },
  { name: "issue-opened", events: ["issues"], actions: ["opened", "reopened"], taskType: "triage-issue", priority: "normal" },
  {
    name: "change-proposed",
    events: ["pull_request"],
    actions: ["opened", "reopened", "synchronize", "ready_for_review"],
    where: [{ path: "pull_request.draft", oneOf: [false] }],
    taskType: "review-change",
    priority: "normal",
  },
  {
    name: "change-merged",
    events: ["pull_request"],
    actions: ["closed"],
    where: [{ path: "pull_request.merged", oneOf: [true] }],
    taskType: "update-changelog",
    priority: "normal",
  },
  {
    name: "review-given",
    events: ["pull_request_review", "pull_request_review_comment"],
    actions: ["submitted", "created"],
    taskType: "address-review",
    priority: "normal",
  },
  {
    name: "question-asked",
    events: ["issue_comment", "discussion", "discussion_comment", "commit_comment"],
    actions: ["created", "answered"],
    taskType: "answer-question",
    priority: "normal",
  },
  { name: "code-pushed", events: ["push"], taskType: "index-code", priority: "low" },
  { name: "released", events: ["release", "package"], actions: ["published", "released"], taskType: "announce-release", priority: "normal" },
  { name: "access-changed", events: ["member", "membership", "organization", "team", "org_block", "deploy_key"], taskType: "audit-access", priority: "high" },
];
