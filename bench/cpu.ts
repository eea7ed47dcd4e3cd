import { readFileSync } from 'node:fs';

/**
 * CPU time in seconds that a process and its threads have used. Linux only.
 * @see proc_pid_stat(5): utime and stime, in ticks of which there are a hundred per second
 */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory of a process in bytes. Linux only. @see proc_pid_status(5) */
export function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kilobytes) * 1024;
}
