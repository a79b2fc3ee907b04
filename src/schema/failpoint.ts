/**
 * The one list of places where tests stop or kill a process: each stands after one durable step and before the next, so
 * that every step has a place on either side. In production the hook does nothing; `AUTOFILES_FAILPOINT` sets it
 * (src/cli/failpoint.ts), and `npm run chaos -- --ci` kills a worker at each of them.
 */
export const FAILPOINTS = {
  'events.received': { after: 'a message was received', before: 'its object is read' },
  'events.read': { after: 'an object was read', before: 'anything of its decision is recorded' },
  'events.delivered': { after: 'an output was recorded and rung', before: 'the run that it may start is accepted' },
  'events.accepted': { after: 'a run was recorded', before: 'its tree is made' },
  'events.decided': { after: 'the decision was recorded and rung', before: 'the message is deleted' },
  'events.deleted': { after: 'the message was deleted', before: 'the next one is received' },
  'plan.checked': { after: 'the planner saw an accepted record', before: 'the MULTI with the tree is sent' },
  'plan.added': { after: 'the tree was made', before: 'whoever asked for it hears so' },
  'task.activated': { after: 'BullMQ handed the task out', before: 'the record is asked' },
  'task.intent': { after: 'the intent was recorded', before: 'the POST is sent' },
  'task.posted': { after: 'the POST was answered', before: 'the answer is recorded' },
  'task.launched': { after: 'the launch was recorded', before: 'the task is parked' },
  'task.refused': { after: 'a refusal was recorded', before: 'the task is parked' },
  'task.parking': { after: 'the record said to wait', before: 'the MULTI of the park is sent' },
  'task.parked': { after: 'the task was parked', before: 'BullMQ is told' },
  'task.due': { after: 'an overdue task was looked at once more', before: 'the verdict is recorded' },
  'task.judged': { after: 'a retry or a failure was recorded', before: 'BullMQ is told' },
  'task.settled': { after: 'the end of a task was recorded', before: 'its job is completed' },
  'task.lost': { after: 'a launch was given up as lost', before: 'the next attempt begins' },
  'adopt.found': { after: 'the dyno of an unknown launch was found', before: 'it is recorded' },
  'adopt.recorded': { after: 'the found dyno was recorded', before: 'its task is parked' },
  'grant.given': { after: 'the launch budget gave tokens to waiting launches', before: 'their tasks are told' },
  'grant.told': { after: 'a task was told and rung', before: 'the next one is told' },
  'poll.looked': { after: 'the dyno list was read', before: 'what it shows is recorded' },
  'poll.noted': { after: 'what the list shows was recorded', before: 'the next dyno is looked at' },
  'stop.due': { after: 'a closed attempt put its dyno on the list of stops', before: 'the platform is asked to stop it' },
  'stop.stopped': { after: 'the platform stopped a dyno', before: 'it is taken off the list' },
  'stop.noted': { after: 'the dyno was taken off the list', before: 'the next one is stopped' },
  'sweep.found': { after: 'the sweep found what should move', before: 'it is repaired' },
  'sweep.repaired': { after: 'the sweep repaired a run', before: 'it looks at the next' },
  'finish.entered': { after: 'all tasks settled', before: 'the end of the run is recorded' },
  'finish.ended': { after: 'the end of the run was recorded', before: 'the root job is completed' },
  'archive.read': { after: 'an ended run was read for the archive', before: 'the archive has it' },
  'archive.kept': { after: 'the archive has the run', before: 'it is exported to the tenant' },
  'archive.exported': { after: 'the run was exported to the tenant', before: 'its record may expire' },
  'archive.noted': { after: 'the record may expire', before: 'the next run is archived' },
  'ledger.compared': { after: 'a bucket was compared with the decisions and made good', before: 'its watermark is moved' },
  'ledger.marked': { after: 'the watermark was moved', before: 'the figures are kept' },
  'rotate.issued': { after: 'new credentials were issued', before: 'they are kept' },
  'rotate.kept': { after: 'the new credentials were kept', before: 'the app is told' },
  'rotate.told': { after: 'the app was told of them', before: 'the next resource is looked at' },
  'recovery.begun': { after: 'the archive has that a loss of Redis is being put right', before: 'anything of it is' },
  'recovery.restored': { after: 'layout and resources were put back', before: 'the runs are looked at' },
  'recovery.redone': {
    after: 'ended runs were put back, and the others may do their work again',
    before: 'all buckets are due to be swept',
  },
  'recovery.kept': { after: 'the archive has that all is back', before: 'the epoch is raised' },
  'recovery.raised': { after: 'the epoch was raised', before: 'anything is launched in it' },
  'retire.gone': { after: 'a record whose retention has passed went', before: 'the next one goes' },
} as const satisfies Record<string, { readonly after: string; readonly before: string }>;

/** The same for what is done to whole resources (src/processors/addon.ts); tests/addon kills a worker at each of them. */
export const ADDON_FAILPOINTS = {
  'provision.exchanged': { after: 'the grant was exchanged', before: 'its tokens are kept' },
  'provision.kept': { after: 'the tokens were kept', before: 'the archive has them' },
  'provision.archived': { after: 'the archive has the tokens', before: 'the app is looked up' },
  'provision.placed': { after: 'the app was recorded', before: 'the bucket is made' },
  'provision.bucket': { after: 'the bucket was made', before: 'its notification is set' },
  'provision.notified': { after: 'the notification was set', before: 'credentials are issued' },
  'provision.told': { after: 'Heroku was told that all is done', before: 'the record says so' },
  'deprovision.quiet': { after: 'runs were cancelled and dynos stopped', before: 'the archive has that it is being removed' },
  'deprovision.archived': { after: 'the archive has that it is being removed', before: 'anything is taken away' },
  'deprovision.drained': { after: 'the runs ended', before: 'the bucket is closed' },
  'deprovision.closed': { after: 'the bucket was closed', before: 'it is emptied and removed' },
  'deprovision.removed': { after: 'the bucket was removed', before: 'keys and tokens go' },
  'deprovision.purged': { after: 'keys and tokens went', before: 'Heroku is told' },
  'deprovision.told': { after: 'Heroku was told', before: 'the archive has its tombstone' },
  'deprovision.entombed': { after: 'the archive has the tombstone', before: 'only a tombstone is left in Redis' },
} as const satisfies Record<string, { readonly after: string; readonly before: string }>;

export type FailpointName = keyof typeof FAILPOINTS | keyof typeof ADDON_FAILPOINTS;

export type Failpoint = (name: FailpointName) => void;
