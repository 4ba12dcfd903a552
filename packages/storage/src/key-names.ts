import { AppError } from '@headstart/contracts';

/** Whether a key would be read as a place outside the folder, by a disk or by a server that tidies paths as disks do. */
export function leavesFolder(key: string): boolean {
  return key.split('/').includes('..');
}

export function notBelow(key: string, folderUri: string): AppError {
  return new AppError(
    'uri_forbidden',
    `${JSON.stringify(key)} is not a name below ${folderUri}. Names have no "..", no leading "/" and no NUL.`,
  );
}
